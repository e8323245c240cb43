/**
 * The table as published: rows by key, one version for every change that a gateway may see. Versions grow for ever,
 * across restarts too: a start begins above every version that an earlier one may have used.
 */
import type { RowKind, RowTypes } from '@subcloud/contract/table';

/** Row values as JSON text: what is compared is what is sent. */
export interface TableDelta {
  readonly version: number;
  readonly set: readonly (readonly [key: string, json: string])[];
  readonly delete: readonly string[];
}

export interface PublishedTable {
  readonly version: number;
  /** Stages a row; undefined deletes it. Nothing is visible before `publish`. */
  stage<Kind extends RowKind>(kind: Kind, key: string, value: RowTypes[Kind] | undefined): void;
  /** Publishes what is staged and differs, or nothing: then the version stays. */
  publish(): TableDelta | undefined;
  readonly rows: ReadonlyMap<string, string>;
  subscribe(onDelta: (delta: TableDelta) => void): () => void;
}

export function createPublishedTable(firstVersion: number): PublishedTable {
  const rows = new Map<string, string>();
  const staged = new Map<string, string | undefined>();
  const subscribers = new Set<(delta: TableDelta) => void>();
  let version = firstVersion;
  return {
    get version() {
      return version;
    },
    rows,
    stage(_kind, key, value) {
      const json = value === undefined ? undefined : JSON.stringify(value);
      if (rows.get(key) === json) staged.delete(key);
      else staged.set(key, json);
    },
    publish() {
      if (staged.size === 0) return undefined;
      const set: [string, string][] = [];
      const removed: string[] = [];
      for (const [key, json] of staged) {
        if (json === undefined) {
          rows.delete(key);
          removed.push(key);
        } else {
          rows.set(key, json);
          set.push([key, json]);
        }
      }
      staged.clear();
      version += 1;
      const delta: TableDelta = { version, set, delete: removed };
      for (const onDelta of subscribers) onDelta(delta);
      return delta;
    },
    subscribe(onDelta) {
      subscribers.add(onDelta);
      return () => subscribers.delete(onDelta);
    },
  };
}

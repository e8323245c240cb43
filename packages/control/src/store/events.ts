/** What happened, for people and for `events`: every change with its reason. */
import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';

export interface NewEvent {
  readonly kind: string;
  readonly node: string | null;
  /** The Subcloud's id. */
  readonly subcloud: string | null;
  /** Who did it: a principal, `admin`, `reconciler`, `gateway:ID`, `node:ID`. */
  readonly actor: string;
  readonly reason: string;
  /** Nothing secret, nothing of prompts or answers. */
  readonly detail: object;
}

const BATCH = 1_000;

export async function insertEvents(tx: Kysely<Schema>, events: readonly NewEvent[], atMs: number): Promise<void> {
  for (let start = 0; start < events.length; start += BATCH) {
    await tx
      .insertInto('events')
      .values(
        events.slice(start, start + BATCH).map(({ kind, node, subcloud, actor, reason, detail }) => ({
          at: atMs,
          kind,
          node_id: node,
          subcloud_id: subcloud,
          actor,
          reason,
          detail: JSON.stringify(detail),
        })),
      )
      .execute();
  }
}

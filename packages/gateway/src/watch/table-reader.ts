/**
 * Reads the messages of one watch into tables. The order is strict (a snapshot first, rows only between begin and
 * commit, versions that grow); whatever breaks it throws, and the caller opens a new watch. Nothing of a version is
 * visible before its commit.
 */
import { type RoutingTable, TableBuilder, type TableChange, TableError } from '../table/routing-table.ts';

export interface TableReaderSink {
  committed(change: TableChange, nowMs: number): void;
  pinged(nowMs: number): void;
}

/** `base` is the table at hand when the watch was opened. */
export function tableReader(base: RoutingTable, sink: TableReaderSink): (message: unknown) => void {
  let current = base;
  let first = true;
  let open: { builder: TableBuilder; version: number; epoch: number } | undefined;

  const begin = (message: Record<string, unknown>): void => {
    const { mode } = message;
    const version = wholeNumber(message, 'tableVersion');
    const epoch = wholeNumber(message, 'epoch');
    if (open !== undefined) throw new TableError('a version begins inside another');
    if (mode !== 'snapshot' && mode !== 'delta') throw new TableError('a version begins in an unknown mode');
    if (mode === 'delta' && first) throw new TableError('a watch begins with a delta');
    if (epoch < current.epoch) throw new TableError('the table is of an older epoch');
    if (mode === 'delta' && (epoch !== current.epoch || version <= current.version)) {
      throw new TableError('a delta does not follow the table at hand');
    }
    if (epoch === current.epoch && version < current.version)
      throw new TableError('the table is older than the one at hand');
    first = false;
    open = { builder: new TableBuilder(current, mode), version, epoch };
  };

  const rows = (message: Record<string, unknown>): void => {
    if (open === undefined) throw new TableError('rows stand outside a version');
    const { set, delete: deleted } = message;
    if (!Array.isArray(set) || !Array.isArray(deleted)) throw new TableError('a line of rows has another shape');
    for (const entry of set as unknown[]) {
      if (!Array.isArray(entry) || entry.length !== 2 || typeof entry[0] !== 'string') {
        throw new TableError('a row has no key');
      }
      open.builder.set(entry[0], entry[1]);
    }
    for (const key of deleted as unknown[]) {
      if (typeof key !== 'string') throw new TableError('a deleted row has no key');
      open.builder.delete(key);
    }
  };

  const commit = (message: Record<string, unknown>): void => {
    const nowMs = finiteTime(message);
    if (open === undefined || wholeNumber(message, 'tableVersion') !== open.version) {
      throw new TableError('a commit does not match its version');
    }
    const change = open.builder.commit(open.version, open.epoch);
    open = undefined;
    current = change.table;
    sink.committed(change, nowMs);
  };

  return (value) => {
    if (typeof value !== 'object' || value === null) throw new TableError('a line is no message');
    const message = value as Record<string, unknown>;
    switch (message['type']) {
      case 'begin':
        return begin(message);
      case 'rows':
        return rows(message);
      case 'commit':
        return commit(message);
      case 'ping':
        return sink.pinged(finiteTime(message));
      default:
        throw new TableError('a message of an unknown type');
    }
  };
}

function wholeNumber(message: Record<string, unknown>, name: string): number {
  const value = message[name];
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new TableError(`${name} is no whole number`);
  return value as number;
}

function finiteTime(message: Record<string, unknown>): number {
  const value = message['nowMs'];
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new TableError('nowMs is no time');
  return value;
}

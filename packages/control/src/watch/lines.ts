/** A snapshot or a delta as the JSON lines of contract/watch.ts. Row values are JSON already and are not parsed again. */
import { WATCH_ROWS_PER_LINE } from '@subcloud/contract/watch';
import { jsonLine } from '@subcloud/kit/json-lines';
import type { PublishedTable, TableDelta } from '../compile/published-table.ts';

/** The table as it is now, whenever the lines are taken. */
export function snapshotLines(table: PublishedTable, epoch: number, nowMs: number): Generator<string> {
  const { version } = table;
  const rows = [...table.rows];
  return (function* () {
    yield jsonLine({ type: 'begin', mode: 'snapshot', tableVersion: version, epoch });
    yield* rowLines(rows, []);
    yield jsonLine({ type: 'commit', tableVersion: version, nowMs });
  })();
}

export function* deltaLines(delta: TableDelta, epoch: number, nowMs: number): Generator<string> {
  yield jsonLine({ type: 'begin', mode: 'delta', tableVersion: delta.version, epoch });
  yield* rowLines(delta.set, delta.delete);
  yield jsonLine({ type: 'commit', tableVersion: delta.version, nowMs });
}

function* rowLines(set: readonly (readonly [string, string])[], removed: readonly string[]): Generator<string> {
  for (let start = 0; start < set.length; start += WATCH_ROWS_PER_LINE) {
    const rows = set.slice(start, start + WATCH_ROWS_PER_LINE).map(([key, json]) => `[${JSON.stringify(key)},${json}]`);
    yield `{"type":"rows","set":[${rows.join(',')}],"delete":[]}\n`;
  }
  for (let start = 0; start < removed.length; start += WATCH_ROWS_PER_LINE) {
    yield jsonLine({ type: 'rows', set: [], delete: removed.slice(start, start + WATCH_ROWS_PER_LINE) });
  }
}

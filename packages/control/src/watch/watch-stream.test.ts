import { Writable } from 'node:stream';
import { rowKey } from '@subcloud/contract/table';
import { expect, test } from 'vitest';
import { createPublishedTable } from '../compile/published-table.ts';
import { deltaLines, snapshotLines } from './lines.ts';
import { openWatchStream } from './watch-stream.ts';

/** A gateway that takes a line only when it is told to. */
function slowReader(): { readonly stream: Writable; readonly read: string[]; readonly take: () => void } {
  const read: string[] = [];
  let done: (() => void) | undefined;
  const stream = new Writable({
    highWaterMark: 1,
    decodeStrings: false,
    write(chunk: string, _encoding, callback) {
      read.push(chunk);
      done = callback;
    },
  });
  stream.on('error', () => undefined);
  const take = (): void => {
    const taken = done;
    done = undefined;
    taken?.();
  };
  return { stream, read, take };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const pool = (index: number) => ({ name: `p${index}` }) as never;

test('a snapshot is one version, however slowly it is read, and what happens meanwhile comes after it', async () => {
  const table = createPublishedTable(7);
  for (let index = 0; index < 1_000; index++) table.stage('pool', rowKey.pool(`p${index}`), pool(index));
  table.publish();
  const { stream, read, take } = slowReader();
  const watch = openWatchStream(stream, snapshotLines(table, 1, 5));
  table.subscribe((delta) => {
    for (const line of deltaLines(delta, 1, 6)) watch.send(line);
  });
  await turn();
  expect(read).toHaveLength(1);
  table.stage('pool', rowKey.pool('p3'), undefined);
  table.stage('pool', rowKey.pool('late'), pool(9));
  table.publish();
  watch.ping('{"type":"ping"}\n');
  for (let round = 0; round < 50; round++) {
    take();
    await turn();
  }
  const lines = read.map((line) => JSON.parse(line) as Record<string, unknown>);
  const ends = lines.filter(({ type }) => type === 'commit').map(({ tableVersion }) => tableVersion);
  expect(ends).toEqual([8, 9]);
  const snapshot = lines.slice(0, lines.findIndex(({ type }) => type === 'commit') + 1);
  const keys = snapshot.flatMap(({ set }) => ((set ?? []) as [string, unknown][]).map(([key]) => key));
  expect(new Set(keys)).toEqual(new Set(Array.from({ length: 1_000 }, (_, index) => `pool/p${index}`)));
  expect(snapshot[0]).toMatchObject({ type: 'begin', mode: 'snapshot', tableVersion: 8 });
  watch.ping('{"type":"ping"}\n');
  take();
  await turn();
  expect(read.at(-1)).toBe('{"type":"ping"}\n');
});

test('a gateway that does not read is cut before what waits for it grows too large', async () => {
  const { stream } = slowReader();
  const watch = openWatchStream(stream, ['begin', 'rows'].values(), () => true, 100);
  for (let line = 0; line < 10 && !stream.destroyed; line++) watch.send('x'.repeat(30));
  expect(stream.destroyed).toBe(true);
});

test('who may not tell it any more says no further line', () => {
  const { stream, read } = slowReader();
  let may = true;
  const watch = openWatchStream(stream, [][Symbol.iterator](), () => may);
  watch.send('a');
  may = false;
  watch.send('b');
  expect(stream.destroyed).toBe(true);
  expect(read).toEqual(['a']);
});

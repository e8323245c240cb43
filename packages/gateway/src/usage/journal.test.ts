import { spawn } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@subcloud/kit/clock';
import { silentLog } from '@subcloud/kit/log';
import { eventually } from '@subcloud/testkit/eventually';
import type { UsageRecord } from '@subcloud/contract/watch';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Journal, type UnsequencedUsage, openJournal } from './journal.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'journal-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const open = (): Journal => openJournal({ dir, clock: systemClock, log: silentLog });
const record = (requestId: string): UnsequencedUsage => ({
  requestId,
  atMs: 1,
  principal: 'user:alice',
  credential: 'key_1',
  pool: 'global',
  model: 'm',
  node: 'nod_1',
  promptTokens: 1,
  completionTokens: 1,
  estimated: false,
  status: 200,
  durationMs: 1,
});
const write = (journal: Journal, id: string): Promise<boolean> =>
  new Promise((resolve) => journal.append(record(id), resolve));
const pending = (journal: Journal, max: number): UsageRecord[] =>
  journal.pending(max).map((json) => JSON.parse(json) as UsageRecord);
const sequences = (journal: Journal): number[] => pending(journal, 10_000).map(({ sequence }) => sequence);
const segments = (): string[] => readdirSync(dir).filter((name) => name.endsWith('.jsonl'));

test('sequences go on without gaps after a restart, and nothing is forgotten', async () => {
  const first = open();
  await Promise.all(['a', 'b', 'c'].map((id) => write(first, id)));
  first.close();
  const second = open();
  await write(second, 'd');
  expect(pending(second, 10).map(({ sequence, requestId }) => [sequence, requestId])).toEqual([
    [1, 'a'],
    [2, 'b'],
    [3, 'c'],
    [4, 'd'],
  ]);
  second.close();
});

test('a record is in the file before its answer may end', async () => {
  const journal = open();
  await write(journal, 'seen');
  expect(readFileSync(join(dir, segments()[0] ?? ''), 'utf8')).toContain('"seen"');
  journal.close();
});

test('records of one turn leave in one write', async () => {
  const journal = open();
  const order: string[] = [];
  const done = Promise.all(['a', 'b'].map((id) => write(journal, id).then(() => order.push(id))));
  expect(readFileSync(join(dir, segments()[0] ?? ''), 'utf8')).toBe('');
  await done;
  expect(readFileSync(join(dir, segments()[0] ?? ''), 'utf8').split('\n')).toHaveLength(3);
  journal.close();
});

test('a torn last line is cut off, and its number is used again', async () => {
  const first = open();
  await write(first, 'a');
  first.close();
  const file = join(dir, segments()[0] ?? '');
  appendFileSync(file, '{"sequence":2,"requestId":"tor');
  const second = open();
  expect(sequences(second)).toEqual([1]);
  await write(second, 'b');
  expect(sequences(second)).toEqual([1, 2]);
  second.close();
  expect(readFileSync(file, 'utf8')).not.toContain('tor"');
});

test('a torn line is cut off, too, where an empty segment stands behind it', async () => {
  const first = open();
  await write(first, 'a');
  first.close();
  appendFileSync(join(dir, segments()[0] ?? ''), '{"sequence":2');
  writeFileSync(join(dir, 'usage-0000000000000002.jsonl'), '');
  const second = open();
  expect(sequences(second)).toEqual([1]);
  second.close();
});

test('damage that no crash makes is refused, not skipped', async () => {
  const first = open();
  for (const id of ['a', 'b', 'c']) await write(first, id);
  first.close();
  const file = join(dir, segments()[0] ?? '');
  const lines = readFileSync(file, 'utf8').split('\n');
  writeFileSync(file, [lines[0], lines[2], ''].join('\n'));
  expect(open).toThrow(/gap/);
});

test('what control has stored is not sent again, and its segment goes when a new one is due', async () => {
  const journal = open();
  const big = 'x'.repeat(20_000);
  for (let count = 0; count < 60; count += 1)
    await new Promise((resolve) =>
      journal.append({ ...record(`r${count}`), model: big.slice(0, 250), principal: big.slice(0, 100) }, resolve),
    );
  journal.acknowledged(10);
  expect(sequences(journal)[0]).toBe(11);
  journal.acknowledged(5);
  expect(sequences(journal)[0]).toBe(11);
  for (let count = 0; count < 3_000; count += 1)
    journal.append({ ...record(`s${count}`), model: big.slice(0, 250) }, () => {});
  await write(journal, 'last');
  journal.acknowledged(journal.last);
  expect(sequences(journal)).toEqual([]);
  await eventually('one segment is left', () => segments().length === 1);
  const { last } = journal;
  journal.close();
  const again = open();
  expect(again.last).toBe(last);
  await write(again, 'next');
  expect(sequences(again)).toEqual([last + 1]);
  again.close();
});

test('kill -9 loses no record whose answer could have ended', async () => {
  const program = `
    import { openJournal } from ${JSON.stringify(join(import.meta.dirname, 'journal.ts'))};
    import { systemClock } from '@subcloud/kit/clock';
    import { silentLog } from '@subcloud/kit/log';
    const journal = openJournal({ dir: process.argv[1], clock: systemClock, log: silentLog });
    const record = ${JSON.stringify(record('r'))};
    const next = (n) => journal.append({ ...record, requestId: 'r' + n }, () => { process.stdout.write(n + '\\n'); setImmediate(next, n + 1); });
    next(1);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, dir], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let seen = '';
  child.stdout.on('data', (chunk: Buffer) => {
    seen += chunk.toString();
    if (seen.length > 2_000) child.kill('SIGKILL');
  });
  await new Promise((resolve) => child.stdout.on('end', resolve));
  const acknowledged = seen.slice(0, seen.lastIndexOf('\n')).split('\n').map(Number);
  const journal = open();
  const kept = new Set(pending(journal, 1_000_000).map(({ requestId }) => requestId));
  expect(acknowledged.filter((number) => !kept.has(`r${number}`))).toEqual([]);
  expect(acknowledged.length).toBeGreaterThan(100);
  journal.close();
});

test('where no new segment can be opened, the old one goes on, and nothing of it is lost', async () => {
  const journal = open();
  const batch = async (from: number): Promise<boolean[]> =>
    Promise.all(Array.from({ length: 30_000 }, (_, index) => write(journal, `req_${from + index}`)));
  // Where the next segment would go, something stands.
  const taken = join(dir, `usage-${String(30_001).padStart(16, '0')}.jsonl`);
  mkdirSync(taken);
  expect(await batch(0)).not.toContain(false);
  expect(await batch(30_000)).not.toContain(false);
  expect(journal.writable).toBe(true);
  journal.close();
  rmdirSync(taken);
  const again = open();
  expect([again.last, pending(again, 100_000).length]).toEqual([60_000, 60_000]);
  again.close();
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type Ran, runCaptured } from './testing/run-captured.ts';

const run = (...argv: string[]): Promise<Ran> => runCaptured(argv);

function agentFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-choices-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'node.json'), '{}');
  return folder;
}

const stored = (folder: string): unknown => JSON.parse(readFileSync(join(folder, 'consent.json'), 'utf8'));

test('agent join and agent leave write the last word on each name into the folder of the agent', async () => {
  const folder = agentFolder();
  expect((await run('agent', 'join', 'lab', '--isolation', 'isolate', '--data', folder)).exitCode).toBe(0);
  expect((await run('agent', 'join', 'eu', '--data', folder)).exitCode).toBe(0);
  expect((await run('agent', 'leave', 'ads', '--data', folder)).exitCode).toBe(0);
  expect((await run('agent', 'leave', 'eu', '--data', folder)).exitCode).toBe(0);
  const left = await run('agent', 'leave', 'global', '--data', folder, '--json');
  const expected = { version: 1, global: false, join: [{ name: 'lab', isolation: 'isolate' }], leave: ['ads', 'eu'] };
  expect(JSON.parse(left.stdout)).toEqual(expected);
  expect(stored(folder)).toEqual(expected);
});

test.each([
  [['agent', 'join', 'No_Name'], 'No_Name is no name of a Subcloud'],
  [['agent', 'join', 'lab', '--isolation', 'total'], 'the isolation is one of shared, isolate, exclusive, not total'],
])('%j is refused in words, and writes nothing', async (argv, words) => {
  const folder = agentFolder();
  const { exitCode, stderr } = await run(...argv, '--data', folder);
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining(words)]);
  expect(() => stored(folder)).toThrow();
});

test('a folder that is no agent’s is refused: a choice there would change nothing', async () => {
  const { exitCode, stderr } = await run('agent', 'leave', 'lab', '--data', join(tmpdir(), 'subcloud-no-agent'));
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining('is the folder of no agent')]);
});

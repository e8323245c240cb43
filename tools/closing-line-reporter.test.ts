import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { closingLine, settleCounts } from './closing-line-reporter.ts';

const reporterPath = fileURLToPath(new URL('./closing-line-reporter.ts', import.meta.url));
const vitestPath = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url));

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'closing-line-'));
});
afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

/** Runs vitest itself, with this reporter, over a folder that holds just these files. */
async function runOver(name: string, files: Readonly<Record<string, string>>, setup?: string) {
  const root = path.join(scratch, name);
  await mkdir(root);
  const globalSetup = setup === undefined ? [] : ['./setup.mjs'];
  const config = { globals: true, reporters: ['default', reporterPath], globalSetup, maxWorkers: 1 };
  await writeFile(path.join(root, 'vitest.config.mjs'), `export default { test: ${JSON.stringify(config)} };`);
  for (const [file, text] of Object.entries(files)) await writeFile(path.join(root, file), text);
  if (setup !== undefined) await writeFile(path.join(root, 'setup.mjs'), setup);
  return new Promise<{ lastLine: string | undefined; exitCode: unknown }>((resolve) => {
    execFile(process.execPath, [vitestPath, 'run', '--root', root], (error, stdout) => {
      resolve({ lastLine: stdout.trimEnd().split('\n').at(-1), exitCode: error === null ? 0 : error.code });
    });
  });
}

const passing = "test('holds', () => {});";

test('a run that passes ends with its counts and exits 0', async () => {
  const files = { 'a.test.js': `${passing} test.skip('later', () => {}); test.todo('one day');` };
  expect(await runOver('passes', files)).toEqual({ lastLine: '1 passed, 0 failed, 2 skipped', exitCode: 0 });
});

test('failed tests, a file that does not load and a set-up that throws each count as failed', async () => {
  const files = {
    'a.test.js': `${passing} test('fails', () => { throw new Error('on purpose'); });`,
    'b.test.js': "import './nowhere.js'; test('is never known', () => {});",
    'c.test.js': "beforeAll(() => { throw new Error('on purpose'); }); test('is skipped by its set-up', () => {});",
  };
  expect(await runOver('fails', files)).toEqual({ lastLine: '1 passed, 3 failed, 1 skipped', exitCode: 1 });
});

test('an error that no test awaited counts as failed', async () => {
  const files = { 'a.test.js': "test('leaves a rejection', () => { void Promise.reject(new Error('on purpose')); });" };
  expect(await runOver('unhandled', files)).toEqual({ lastLine: '1 passed, 1 failed', exitCode: 1 });
});

test('code that ends the process with 0 does not hide a failure', async () => {
  const files = { 'a.test.js': "test('fails', () => { throw new Error('on purpose'); });" };
  const setup = 'export default () => () => { process.exit(0); };';
  expect(await runOver('hidden', files, setup)).toEqual({ lastLine: '0 passed, 1 failed', exitCode: 1 });
});

test.each([
  ['set-up', "export default () => { throw new Error('on purpose'); };", '0 passed, 1 failed'],
  ['teardown', "export default () => () => { throw new Error('on purpose'); };", '1 passed, 1 failed'],
  ['talkative teardown', "export default () => () => { console.log('stopped'); };", '1 passed, 0 failed'],
])('the line agrees with the exit code after a global %s', async (name, setup, lastLine) => {
  const exitCode = lastLine.endsWith(' 0 failed') ? 0 : 1;
  expect(await runOver(name, { 'a.test.js': passing }, setup)).toEqual({ lastLine, exitCode });
});

test('a run without tests is a failure', async () => {
  expect(await runOver('empty', {})).toEqual({ lastLine: '0 passed, 1 failed', exitCode: 1 });
});

test('a run that never reached its end is a failure, whatever the exit code', () => {
  expect(settleCounts(null, 0)).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

test('a failing exit code without a failed test is a failure', () => {
  expect(closingLine(settleCounts({ passed: 7, failed: 0, skipped: 0 }, 1))).toBe('7 passed, 1 failed');
});

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLogFile } from './log-file.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'subcloud-log-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('a log and the one before it stay within twice the limit, and hold the last lines', () => {
  const file = path.join(folder, 'logs', 'x.log');
  const first = openLogFile(file, 1_000);
  for (let line = 0; line < 200; line += 1) first.line(`first ${line}`);
  first.close();
  const second = openLogFile(file, 1_000);
  for (let line = 0; line < 10; line += 1) second.line(`second ${line}`);
  second.close();
  expect(readdirSync(path.join(folder, 'logs')).toSorted()).toEqual(['x.log', 'x.log.1']);
  expect(statSync(file).size).toBeLessThanOrEqual(1_000);
  expect(statSync(`${file}.1`).size).toBeLessThanOrEqual(1_000);
  const kept = readFileSync(`${file}.1`, 'utf8') + readFileSync(file, 'utf8');
  expect(kept).toMatch(/first 199\nsecond 0\n(second \d\n)+$/);
  expect(statSync(file).mode & 0o077).toBe(0);
});

test('a closed or broken log swallows its lines', () => {
  const log = openLogFile(path.join(folder, 'x.log'), 100);
  log.line('before');
  log.close();
  log.line('after');
  expect(readFileSync(log.path, 'utf8')).toBe('before\n');
});

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemClock } from '@subcloud/kit/clock';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createUpLogs } from './up-log.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'subcloud-up-log-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('everything goes to a file a part, and only what is serious enough to the reader, as a sentence', () => {
  const told: string[] = [];
  const logs = createUpLogs({ folder, level: 'warn', tell: (line) => told.push(line), clock: systemClock });
  const control = logs.lines('control');
  control('{"level":30,"msg":"control is ready"}');
  control('{"level":50,"err":{"message":"disk full"},"msg":"a request failed"}');
  control('Error: something a runtime prints');
  const up = logs.log('up').child({ part: 'gateway' });
  up.debug('not kept');
  up.info('kept');
  up.warn({ error: new Error('ended') }, 'gateway ended');
  logs.close();
  expect(told).toEqual(['control: error: a request failed: disk full', 'up: warn: gateway ended']);
  const controlLines = readFileSync(path.join(folder, 'control.log'), 'utf8').trimEnd().split('\n');
  expect(controlLines).toHaveLength(3);
  const upLines = readFileSync(path.join(folder, 'up.log'), 'utf8').trimEnd().split('\n');
  expect(upLines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { level: 30, service: 'up', part: 'gateway', msg: 'kept' },
    { level: 40, msg: 'gateway ended', error: { message: 'ended' } },
  ]);
});

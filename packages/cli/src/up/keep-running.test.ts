import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Clock, systemClock } from '@subcloud/kit/clock';
import { silentLog } from '@subcloud/kit/log';
import { isAlive } from '@subcloud/kit/postgres/process-sight';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type RunningChild, startChild } from './child-process.ts';
import { HEALTHY_AFTER_MS, type Part, RESTART_BACKOFF, type Running, keepRunning } from './keep-running.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'subcloud-keep-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const wellBehaved = `
  const end = () => process.exit(0);
  process.once('SIGTERM', end).once('disconnect', end);
  setInterval(() => undefined, 1_000);
  console.log('{"ready":{"pid":' + process.pid + '}}');`;

function program(name: string, text: string): string {
  const file = path.join(folder, `${name}.mjs`);
  writeFileSync(file, text);
  return file;
}

function childPart(name: string, text: string, lines: string[] = []): Part<RunningChild> {
  const entry = program(name, text);
  const limits = { readyLimitMs: 10_000, stopLimitMs: 2_000 };
  return {
    name,
    start: (signal) =>
      startChild({ name, entry, env: {}, onLine: (line) => lines.push(line), clock: systemClock, ...limits }, signal),
  };
}

const options = { clock: systemClock, random: () => 0, log: silentLog };

test('a child that is killed is started again, as often as that happens, until it is stopped', async () => {
  const kept = await keepRunning(childPart('killed', wellBehaved), options);
  const pids = [kept.life.pid];
  for (const restarts of [1, 2]) {
    process.kill(kept.life.pid, 'SIGKILL');
    await vi.waitFor(() => expect(kept.restarts).toBe(restarts), { timeout: 10_000 });
    pids.push(kept.life.pid);
  }
  expect(new Set(pids).size).toBe(3);
  await kept.stop();
  expect(pids.map(isAlive)).toEqual([false, false, false]);
  expect(kept.restarts).toBe(2);
});

test('a first start that fails is told with the last lines, and is not repeated', async () => {
  let starts = 0;
  const part = childPart('broken', `console.error('the folder is not mine'); process.exit(3);`);
  const counted = { ...part, start: (signal: AbortSignal) => ((starts += 1), part.start(signal)) };
  await expect(keepRunning(counted, options)).rejects.toMatchObject({
    code: 'platform.child_failed',
    message: expect.stringMatching(/broken ended with code 3 while it started\.\n {2}the folder is not mine/),
  });
  expect(starts).toBe(1);
});

test('a child that does not get ready in time, or ignores the wish to stop, is killed', async () => {
  const entry = program(
    'deaf',
    `process.on('SIGTERM', () => {}); setInterval(() => {}, 1_000); console.error(process.pid);`,
  );
  const seen: string[] = [];
  const base = { name: 'deaf', entry, env: {}, onLine: (line: string) => seen.push(line), clock: systemClock };
  const slow = startChild({ ...base, readyLimitMs: 1_500, stopLimitMs: 50 }, new AbortController().signal);
  await expect(slow).rejects.toThrow('was not ready within 1500 ms');
  expect(isAlive(Number(seen[0]))).toBe(false);
});

test('lines are passed on, and the report of being ready is not one of them', async () => {
  const lines: string[] = [];
  const text = `console.log('one'); console.error('two'); ${wellBehaved}`;
  const kept = await keepRunning(childPart('talks', text, lines), options);
  expect(kept.life.ready).toEqual({ pid: kept.life.pid });
  await vi.waitFor(() => expect(lines.toSorted()).toEqual(['one', 'two']));
  await kept.stop();
});

test('a start that is called off leaves no process', async () => {
  const off = new AbortController();
  const lines: string[] = [];
  const part = childPart('never', `console.log(process.pid); setInterval(() => {}, 1_000);`, lines);
  const starting = keepRunning(part, { ...options, signal: off.signal });
  starting.catch(() => undefined);
  await vi.waitFor(() => expect(lines).toHaveLength(1), { timeout: 10_000 });
  off.abort(new Error('called off'));
  await expect(starting).rejects.toThrow('called off');
  expect(isAlive(Number(lines[0]))).toBe(false);
});

/** A part without a process, whose lives the test ends. */
function scripted(failures: { count: number }) {
  const ends: (() => void)[] = [];
  const part: Part<Running> = {
    name: 'scripted',
    start: () => {
      if (failures.count > 0) {
        failures.count -= 1;
        return Promise.reject(new Error('not now'));
      }
      let end = (): void => undefined;
      const exited = new Promise<string>((resolve) => {
        end = () => resolve('ended');
      });
      ends.push(end);
      return Promise.resolve({ exited, stop: async () => end(), kill: end });
    },
  };
  return { part, ends };
}

test('waits double up to their cap, and a long life begins them anew', async () => {
  const waits: number[] = [];
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs, sleep: async (delayMs) => void waits.push(delayMs) };
  const failures = { count: 0 };
  const { part, ends } = scripted(failures);
  const kept = await keepRunning(part, { ...options, clock, random: () => 1 });
  failures.count = 9;
  ends[0]?.();
  await vi.waitFor(() => expect(kept.restarts).toBe(1));
  expect(waits).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 12_800, 15_000, 15_000, 15_000]);
  nowMs += HEALTHY_AFTER_MS;
  ends[1]?.();
  await vi.waitFor(() => expect(kept.restarts).toBe(2));
  expect(waits.at(-1)).toBe(RESTART_BACKOFF.baseMs);
  await kept.stop();
});

test('a part that was asked to stop while it waits for its next start is not started again', async () => {
  const { part, ends } = scripted({ count: 0 });
  let waiting = false;
  const clock: Clock = {
    ...systemClock,
    sleep: (_, signal) => {
      waiting = true;
      return new Promise((__, reject) => {
        signal?.addEventListener('abort', () => reject(new Error('stopped')));
      });
    },
  };
  const kept = await keepRunning(part, { ...options, clock });
  ends[0]?.();
  await vi.waitFor(() => expect(waiting).toBe(true));
  await kept.stop();
  expect(ends).toHaveLength(1);
});

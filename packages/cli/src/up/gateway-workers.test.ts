import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkerConfig } from '@subcloud/gateway/supervise';
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { silentLog } from '@subcloud/kit/log';
import { eventually } from '@subcloud/testkit/eventually';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RunningChild } from './child-process.ts';
import { type GatewayWorkers, startGatewayWorkers } from './gateway-workers.ts';

interface Start {
  readonly name: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly end: (cause: string) => void;
  stopped: boolean;
}

let dataDir: string;
let starts: Start[];
let running: GatewayWorkers | undefined;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'gateway-workers-'));
  starts = [];
});
afterEach(async () => {
  await running?.stop();
  running = undefined;
  rmSync(dataDir, { recursive: true, force: true });
});

/** A process that says what the real one would of the settings that it was given. */
function start(name: string, settings: Readonly<Record<string, string>>): Promise<RunningChild> {
  const { promise: exited, resolve: end } = Promise.withResolvers<string>();
  const one: Start = { name, settings, end, stopped: false };
  starts.push(one);
  const ownPort = Number(settings['ownPort'] ?? 0) || 40_000 + starts.length;
  const own = settings['ownPort'] === undefined ? {} : { ownPort };
  const ready = {
    id: `gw_${name}`,
    url: `http://127.0.0.1:${ownPort}`,
    port: Number(settings['port']) || 7_700,
    ...own,
  };
  const stop = async (): Promise<void> => {
    one.stopped = true;
    end('was stopped');
  };
  return Promise.resolve({ pid: 1, ready, exited, stop, kill: () => void stop() });
}

async function run(
  config: Partial<WorkerConfig>,
  port: number,
  tokens: readonly string[] = [],
): Promise<GatewayWorkers> {
  running = await startGatewayWorkers({
    config: { workers: 1, workerPort: undefined, workerUrl: undefined, ...config },
    dataDir,
    port,
    tokens,
    start,
    keep: { clock: systemClock, random: systemRandom, log: silentLog },
  });
  return running;
}

test('one worker is the gateway that it was: its folder, its port, its token, and nothing of workers', async () => {
  await run({}, 7_700, ['token']);
  expect(starts.map(({ name, settings }) => ({ name, settings }))).toEqual([
    { name: 'gateway', settings: { dataDir, port: '7700', gatewayToken: 'token' } },
  ]);
});

test('several share the port and count their own ports and addresses up; tokens go to those that are not enrolled', async () => {
  writeFileSync(join(dataDir, 'network.json'), '{}');
  const { ready } = await run({ workers: 3, workerUrl: 'https://gw.example:17701' }, 7_700, ['two', 'three']);
  expect(ready).toHaveLength(3);
  const common = { port: '7700', joins: 'at once' };
  expect(starts.map(({ settings }) => settings)).toEqual([
    { ...common, dataDir, worker: '1', ownPort: '7701', ownUrl: 'https://gw.example:17701' },
    ...[2, 3].map((worker) => ({
      ...common,
      dataDir: join(dataDir, `worker-${worker}`),
      worker: String(worker),
      ownPort: String(7_700 + worker),
      ownUrl: `https://gw.example:${17_700 + worker}`,
      gatewayToken: ['two', 'three'][worker - 2],
    })),
  ]);
});

test('a worker that comes back has its folder and its ports again, and joins the others when it is linked', async () => {
  await run({ workers: 2, workerPort: 0 }, 7_700);
  const first = starts[1];
  first?.end('was ended by SIGKILL');
  const again = await eventually('it is started again', () => starts[2]);
  expect(again).toMatchObject({
    name: 'gateway-2',
    settings: { ...first?.settings, ownPort: '40002', joins: 'when linked' },
  });
  expect(starts[0]?.stopped).toBe(false);
});

test('what a worker counted that is no longer among them is handed in once, by a process that takes no request', async () => {
  const former = join(dataDir, 'worker-3');
  mkdirSync(former);
  await run({ workers: 2 }, 7_700);
  await eventually('it is done', () => existsSync(join(former, 'settled')));
  expect(starts[2]).toMatchObject({
    name: 'gateway-3',
    settings: { dataDir: former, port: '0', ownPort: '0', joins: 'never' },
    stopped: true,
  });
  await running?.stop();
  await run({ workers: 2 }, 7_700);
  expect(starts).toHaveLength(5);
  await running?.stop();
  // It serves again: what it counts now is not handed in yet.
  await run({ workers: 3 }, 7_700);
  expect(existsSync(join(former, 'settled'))).toBe(false);
});

test('ports that there are not, or that are the shared one, are refused before anything is started', async () => {
  for (const [port, workerPort] of [
    [65_534, undefined],
    [7_700, 65_535],
    [7_702, 7_701],
  ] as const)
    await expect(run({ workers: 2, workerPort }, port)).rejects.toMatchObject({ code: 'config.invalid_option' });
  expect(starts).toEqual([]);
});

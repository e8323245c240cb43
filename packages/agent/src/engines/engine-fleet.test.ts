import { silentLog } from '@subcloud/kit/log';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { type ScriptedEngine, startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { createEngineFleet } from './engine-fleet.ts';

function fleet() {
  const clock = controllableClock();
  const engines = createEngineFleet({ clock, log: silentLog });
  onTestFinished(async () => {
    await engines.close();
    clock[Symbol.dispose]();
  });
  let changes = 0;
  engines.onChange(() => changes++);
  /** Lets `ms` pass and every look that it makes due end. */
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await engines.look();
  };
  return { clock, engines, pass, changes: () => changes };
}

function spec(engine: ScriptedEngine, models: Record<string, string> = {}) {
  return { url: engine.url, models };
}

test('names that are mapped have their network id, others stand as reported, and unusable ones are left out', async () => {
  await using engine = await startScriptedEngine({ models: ['a', 'b:latest', 'with space', 'näme', 'a'] });
  const { engines } = fleet();
  await engines.use([spec(engine, { a: 'org/A' })]);
  expect(engines.models()).toEqual(['b:latest', 'org/A']);
  expect(engines.pick('org/A')?.name).toBe('a');
  expect(engines.pick('a')).toBeUndefined();
});

test('one slow or failed look is forgiven, the second takes the models away, and the next good one brings them back', async () => {
  let status = 200;
  const server = createServer((_request, response) => {
    response.writeHead(status);
    response.end(JSON.stringify({ data: [{ id: 'm' }] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { engines, pass } = fleet();
  await engines.use([{ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, models: {} }]);
  expect(engines.models()).toEqual(['m']);
  status = 503;
  await pass(10_000);
  expect(engines.models()).toEqual(['m']);
  await pass(10_000);
  expect(engines.models()).toEqual([]);
  status = 200;
  await pass(2_000);
  expect(engines.models()).toEqual(['m']);
});

test('a refused connection takes the models away at once', async () => {
  await using engine = await startScriptedEngine({ models: ['m'] });
  const { engines, pass, changes } = fleet();
  await engines.use([spec(engine)]);
  const before = changes();
  await engine.set({ kind: 'refuse' });
  await pass(10_000);
  expect(engines.models()).toEqual([]);
  expect(changes()).toBe(before + 1);
});

test('looks that find nothing new are no change', async () => {
  await using engine = await startScriptedEngine({ models: ['m', 'n'] });
  const { engines, pass, changes } = fleet();
  await engines.use([spec(engine)]);
  const before = changes();
  const looks = engine.modelLooks;
  await pass(10_000);
  await pass(10_000);
  expect(engine.modelLooks).toBe(looks + 2);
  expect(changes()).toBe(before);
});

test('of two engines with a model the one with less in flight is picked, and equal ones take turns', async () => {
  await using one = await startScriptedEngine({ models: ['m'] });
  await using two = await startScriptedEngine({ models: ['m'] });
  const { engines } = fleet();
  await engines.use([spec(one), spec(two)]);
  const picks = Array.from({ length: 10 }, () => engines.pick('m')?.engine.url);
  expect(picks.filter((url) => url === one.url)).toHaveLength(5);
  const busy = engines.pick('m')?.engine;
  if (busy === undefined) throw new Error('no engine');
  busy.inFlight = 3;
  for (let count = 0; count < 5; count++) expect(engines.pick('m')?.engine).not.toBe(busy);
});

test('giving a model another name never leaves the machine without models', async () => {
  await using engine = await startScriptedEngine({ models: ['m'] });
  const { engines } = fleet();
  await engines.use([spec(engine)]);
  const seen: (readonly string[])[] = [];
  engines.onChange(() => seen.push(engines.models()));
  await engines.use([spec(engine, { m: 'org/M' })]);
  expect(engines.models()).toEqual(['org/M']);
  expect(seen.every((models) => models.length === 1)).toBe(true);
});

test.for([
  ['endless', endless],
  ['no list', (response: ServerResponse): void => void response.end('{"data":"m"}')],
  ['no JSON', (response: ServerResponse): void => void response.end('<html>')],
] as const)('an answer that is %s offers nothing', async ([, answer]) => {
  const server = createServer((_request, response) => {
    response.on('error', () => {});
    answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { engines } = fleet();
  await engines.use([{ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, models: {} }]);
  expect(engines.models()).toEqual([]);
});

function endless(response: ServerResponse): void {
  const more = (): void => {
    if (!response.destroyed) response.write('x'.repeat(100_000), () => setImmediate(more));
  };
  more();
}

/** Limits through the real network: two gateways that share them, a day that survives restarts, revisions at a moment's notice. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningGateway, gatewayOptions, runGateway } from '@subcloud/gateway/run';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';

let network: TestNetwork;
let node: TestNode;
let second: RunningGateway;
const dataDir = mkdtempSync(join(tmpdir(), 'second-gateway-'));

beforeAll(async () => {
  network = await startTestNetwork();
  second = await runGateway({
    config: loadConfig(gatewayOptions, { flags: { dataDir, controlDir: join(network.dataDir, 'run'), port: 0 } }),
    log: silentLog,
    clock: network.clock,
  });
  await eventually('the second gateway is ready', () => second.ready());
  node = await network.node({ name: 'one', consent: { autoJoin: 'all' } });
  for (const name of ['rated', 'daily', 'plain']) {
    await apply(name, {});
    await network.serving(name, node);
  }
  await eventually('the node is linked to both', () => second.links() === 1 && network.gateway.links() === 1);
});
afterAll(async () => {
  await second.stop();
  await network[Symbol.asyncDispose]();
  rmSync(dataDir, { recursive: true, force: true });
});

async function apply(name: string, limits: object): Promise<void> {
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name, owner: 'user:admin' },
    spec: {
      participation: { mode: 'open', autoJoin: true, cooldown: '0s' },
      ...(Object.keys(limits).length === 0 ? {} : { access: { limits } }),
    },
  });
}

async function chat(url: string, pool: string, max_tokens = 10): Promise<number> {
  const response = await fetch(`${url}/s/${pool}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${network.apiKey}`, 'content-type': 'application/json' },
    body: bodyOf(max_tokens),
  });
  await response.arrayBuffer();
  return response.status;
}
const bodyOf = (max_tokens: number): string => JSON.stringify({ model: 'test-model', messages: [], max_tokens });

/** Time passes in steps in which heartbeats and acknowledgements still get through, as they do in real time. */
async function pass(totalMs: number): Promise<void> {
  for (let passedMs = 0; passedMs < totalMs; passedMs += 1_000) {
    network.clock.advance(1_000);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** Both have a part: each serves somebody who is limited. */
async function bothShare(): Promise<void> {
  await apply('plain', { requestsPerMinute: 100_000 });
  for (const { url } of [network.gateway, second])
    await eventually(`${url} has a share`, async () => (await chat(url, 'plain')) === 200);
}

test('two gateways hand out no more than the limit together, and both hand out some', async () => {
  await bothShare();
  const requestsPerMinute = 40;
  // What was handed over was used up, for all that anybody knows: it fills again within a minute.
  await pass(61_000);
  await apply('rated', { requestsPerMinute });
  const startedMs = performance.now();
  const served = { [network.gateway.url]: 0, [second.url]: 0 };
  let refused = 0;
  await Promise.all(
    Object.keys(served).flatMap((url) =>
      [1, 2, 3].map(async () => {
        for (let turn = 0; turn < 25; turn += 1) {
          const status = await chat(url, 'rated');
          if (status === 200) served[url] = (served[url] ?? 0) + 1;
          else if (status === 429) refused += 1;
          else throw new Error(`status ${status}`);
        }
      }),
    ),
  );
  const minutes = (performance.now() - startedMs) / 60_000;
  const all = Object.values(served).reduce((sum, count) => sum + count, 0);
  expect(all).toBeLessThanOrEqual(requestsPerMinute * (1 + minutes));
  expect(Math.min(...Object.values(served))).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(0);
});

test('a lower limit is in force at the next request, and its withdrawal too', async () => {
  await apply('plain', { concurrent: 1, tokensPerMinute: 20 });
  expect(await chat(network.gateway.url, 'plain', 5_000)).toBe(429);
  await apply('plain', {});
  expect(await chat(network.gateway.url, 'plain', 5_000)).toBe(200);
});

test('what a dry run would have refused is counted for the owner, and in the metrics', async () => {
  const limits = { requestsPerMinute: 1_000, total: { tokensPerMinute: 1 } };
  const overLimit = async (pool: string) =>
    (await network.admin.call('explainSubcloud', { params: { name: pool } })).overLimit;
  await apply('plain', { ...limits, dryRun: true });
  for (let turn = 0; turn < 3; turn += 1) expect(await chat(network.gateway.url, 'plain')).toBe(200);
  await eventually('three are counted', async () => (await overLimit('plain'))['total tokensPerMinute'] === 3);
  expect(await overLimit('plain')).toEqual({ 'total tokensPerMinute': 3 });
  expect(await overLimit('rated'), 'of another pool, whose limits refuse').toEqual({});
  const page = await (await fetch(`${network.gateway.url}/metrics`)).text();
  const labels = 'subcloud_pool="plain",scope="total",limit="tokensPerMinute"';
  expect(page).toContain(`subcloud_dry_run_over_limit_total{${labels}} 3\n`);
  await apply('plain', {});
});

test('a day goes on where usage says that it stands, whoever of them was used', async () => {
  const tokensPerDay = 5_000;
  await apply('daily', { tokensPerDay });
  for (const { url } of [network.gateway, second])
    for (let turn = 0; turn < 5; turn += 1) expect(await chat(url, 'daily')).toBe(200);
  await second.stop();
  let used = 0;
  await eventually('all of it is stored', async () => {
    const { items } = await network.admin.call('listUsage', {});
    const daily = items.filter(({ subcloud }) => subcloud === 'daily');
    used = daily.reduce((sum, { promptTokens, completionTokens }) => sum + promptTokens + completionTokens, 0);
    return daily.reduce((sum, { requests }) => sum + requests, 0) === 10;
  });
  // The second is gone for good when its lease has ended; then the first has all that is left.
  await pass(65_000);
  const left = tokensPerDay - used - Math.ceil(Buffer.byteLength(bodyOf(1_000)) / 4);
  await eventually(
    'the first has all of the limits',
    async () => (await chat(network.gateway.url, 'daily', left)) === 200,
  );
  // That one used a few itself.
  expect(await chat(network.gateway.url, 'daily', left)).toBe(429);
});

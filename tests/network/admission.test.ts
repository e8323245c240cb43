/** Queue, reserve and share as they are written, from manifest and agent.yaml to what callers meet, with real agents. */
import { createAdmission } from '@subcloud/agent/serve/admission';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';

let network: TestNetwork;
beforeAll(async () => {
  network = await startTestNetwork();
  await network.principal('user:owner');
});
afterAll(() => network[Symbol.asyncDispose]());

const ask = (pool: string, model: string, signal?: AbortSignal): Promise<Response> =>
  fetch(`${network.url}/s/${pool}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${network.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hello' }] }),
    ...(signal === undefined ? {} : { signal }),
  });
const codeOf = async (response: Response): Promise<string> =>
  ((await response.json()) as { error: { code: string } }).error.code;
const apply = (name: string, spec: string) =>
  network.admin.call('applySubcloud', {
    params: { name },
    body: {
      manifest: `apiVersion: subcloud/v1
kind: Subcloud
metadata: { name: ${name}, owner: user:owner }
spec:
  participation: { mode: open, autoJoin: true }
${spec}`,
    },
  });

test('a request waits in its pool’s queue until a place is free, and is told how long it waited', async () => {
  await apply('waits', '  models: { allow: [{ id: waits/model }] }\n  routing: { queue: { max: 4, timeout: 60s } }');
  const node = await network.node({
    name: 'waits',
    models: ['waits/model'],
    concurrency: 1,
    consent: { global: false, autoJoin: 'all' },
  });
  await network.serving('waits', node);
  await node.engine.set({ kind: 'hang' });
  const leaves = new AbortController();
  const first = ask('waits', 'waits/model', leaves.signal).catch(() => 'gone');
  await eventually('it is under way', () => node.served.length === 1);
  const second = ask('waits', 'waits/model');
  await eventually('one waits', async () =>
    (await (await fetch(`${network.url}/metrics`)).text()).includes('subcloud_queue_requests{subcloud_pool="waits"} 1'),
  );
  await node.engine.set({ kind: 'ok' });
  leaves.abort();
  expect(await first).toBe('gone');
  const answer = await second;
  expect([answer.status, answer.headers.get('server-timing')]).toEqual([200, expect.stringContaining('queue;dur=')]);
});

test('what a Subcloud reserves, and the share that an operator gives another, leave places empty for nobody else', async () => {
  await apply('reserves', '  models: { allow: [{ id: shared/model }] }\n  sla: { capacity: { reserve: 2 } }');
  await apply('takes', '  models: { allow: [{ id: shared/model }] }');
  const node = await network.node({
    name: 'shared',
    models: ['shared/model'],
    concurrency: 4,
    consent: { global: true, autoJoin: 'all', pools: { takes: { share: '25%' } } },
  });
  for (const pool of ['reserves', 'takes', 'global']) await network.serving(pool, node);
  await node.engine.set({ kind: 'hang' });
  const leave = new AbortController();
  const hold = async (pool: string, count: number): Promise<void> => {
    const before = node.served.length;
    for (let one = 0; one < count; one += 1) ask(pool, 'shared/model', leave.signal).catch(() => {});
    await eventually(`${count} of ${pool} are under way`, () => node.served.length === before + count);
  };
  const refused = async (pool: string): Promise<void> => {
    const answer = await ask(pool, 'shared/model');
    expect([answer.status, await codeOf(answer)]).toEqual([429, 'capacity.overloaded']);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  };
  await hold('takes', 1);
  await refused('takes');
  await hold('global', 1);
  await refused('global');
  await hold('reserves', 2);
  await refused('reserves');
  leave.abort();
});

test('the agent keeps a pool’s share over all its gateways', () => {
  const admission = createAdmission();
  const leave = admission.enter(4, 'takes', 0.5);
  admission.enter(4, 'takes', 0.5);
  expect(() => admission.enter(4, 'takes', 0.5)).toThrow('as many as it may');
  admission.enter(4, 'other');
  leave();
  expect(() => admission.enter(4, 'takes', 0.5)).not.toThrow();
  expect(() => admission.enter(null, 'tiny', 0.0001)).not.toThrow();
});

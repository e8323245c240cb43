/** Promise 4 on the real network: whoever did not allow it is not taken, and whoever withdraws is out at once. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '@subcloud/testkit/eventually';
import { type NodeOptions, type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';

let network: TestNetwork;
beforeAll(async () => {
  network = await startTestNetwork();
});
afterAll(() => network[Symbol.asyncDispose]());

const takeAll = (name: string, isolation: 'shared' | 'isolate'): object => ({
  apiVersion: 'subcloud/v1',
  kind: 'Subcloud',
  metadata: { name, owner: 'org:greedy' },
  spec: { participation: { mode: 'open', autoJoin: true }, isolation },
});

/** [consent, whether the isolating Subcloud may have the node]. */
const CASES: readonly (readonly [name: string, consent: object, taken: boolean, operator?: NodeOptions['operator']])[] =
  [
    ['default', {}, false],
    ['auto-all', { autoJoin: 'all' }, false],
    ['auto-owner', { autoJoin: { owners: ['org:greedy'] } }, false],
    ['auto-other-owner', { autoJoin: { owners: ['org:other'] }, isolation: 'isolate' }, false],
    ['isolate-without-auto', { isolation: 'isolate' }, false],
    ['bare-name', { join: ['take-all'] }, false],
    ['other-name', { join: [{ name: 'take-some', isolation: 'isolate' }] }, false],
    ['auto-isolate', { autoJoin: 'all', isolation: 'isolate' }, true],
    ['auto-owner-isolate', { autoJoin: { owners: ['org:greedy'] }, isolation: 'isolate' }, true],
    ['auto-exclusive', { autoJoin: 'all', isolation: 'exclusive' }, true],
    ['named-isolate', { join: [{ name: 'take-all', isolation: 'isolate' }] }, true],
    ['bare-name-isolate', { join: ['take-all'], isolation: 'isolate' }, true],
    // Owner and operator are one, and still nobody has said that this Subcloud may take it.
    ['own', { autoJoin: 'all' }, false, 'org:greedy'],
  ];

test('a Subcloud with open, autoJoin and isolate takes no node whose operator did not allow isolation', async () => {
  await network.principal('org:greedy');
  const nodes: { node: TestNode; taken: boolean }[] = [];
  for (const [name, consent, taken, operator = 'user:operator' as const] of CASES) {
    nodes.push({ node: await network.node({ name, consent, operator }), taken });
  }
  for (const { node } of nodes) await network.serving('global', node);

  await network.apply(takeAll('take-all', 'isolate'));
  for (const { node, taken } of nodes) if (taken) await network.serving('take-all', node);

  for (const { node, taken } of nodes) {
    const { pools } = await network.admin.call('getNode', { params: { id: node.id } });
    const active = pools.filter(({ state }) => state === 'active').map(({ pool }) => pool);
    expect(active, node.name).toEqual(taken ? ['take-all'] : ['global']);
  }
  const { byReason } = await network.admin.call('explainSubcloud', { params: { name: 'take-all' } });
  expect(byReason['consent']).toBe(CASES.filter(([, , taken]) => !taken).length);
});

test('an owner who isolates more in a later revision loses the members whose yes did not cover it', async () => {
  const shy = await network.node({ name: 'shy', consent: { autoJoin: 'all' }, operator: 'user:operator' });
  const bold = await network.node({
    name: 'bold',
    consent: { autoJoin: 'all', isolation: 'isolate', global: true },
    operator: 'user:operator',
  });
  await network.admin.call('deleteSubcloud', { params: { name: 'take-all' } });
  await network.apply(takeAll('creeping', 'shared'));
  await network.serving('creeping', shy);
  await network.serving('creeping', bold);
  await network.serving('global', bold);

  await network.apply(takeAll('creeping', 'isolate'));

  const states = async (node: TestNode) => {
    const { pools } = await network.admin.call('getNode', { params: { id: node.id } });
    return Object.fromEntries(pools.map(({ pool, state }) => [pool, state]));
  };
  expect(await states(shy)).toMatchObject({ creeping: 'left', global: 'active' });
  expect((await states(bold))['creeping']).toBe('active');
  expect((await states(bold))['global']).toBeUndefined();
});

test('an operator who withdraws is out at once, in every pool that it withdraws from', async () => {
  const node = await network.node({
    name: 'leaving',
    models: ['leaving-model'],
    consent: { global: true },
    operator: 'user:operator',
  });
  await network.serving('global', node);
  expect(await chat('leaving-model')).toBe(200);

  node.agent()?.update({ consent: { global: false, autoJoin: 'none', isolation: 'shared', join: [] } });

  // The agent's own lock refuses from this moment on, whatever gateway and control know.
  expect(await chat('leaving-model')).not.toBe(200);
  await eventually('control has ended the membership', async () => {
    const { state } = await network.admin.call('explainNode', { params: { name: 'global', node: node.id } });
    return state === 'left';
  });
  expect(node.engine.requests.length).toBe(1);
});

async function chat(model: string): Promise<number> {
  const response = await fetch(`${network.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${network.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hello' }] }),
  });
  await response.arrayBuffer();
  return response.status;
}

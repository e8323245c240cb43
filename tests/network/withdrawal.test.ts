/** What an acknowledged change promises: after its 200 nothing is served by the old rule; without control, only inside the lease. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';

let network: TestNetwork;
let node: TestNode;
beforeAll(async () => {
  network = await startTestNetwork();
  node = await network.node({ name: 'only', consent: { autoJoin: 'all', isolation: 'isolate' } });
  await network.serving('global', node);
});
afterAll(() => network[Symbol.asyncDispose]());

async function chat(
  key: string,
  pool = 'global',
): Promise<{ status: number; code: string | undefined; message: string }> {
  const response = await fetch(`${network.url}/s/${pool}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }),
  });
  const body = (await response.json()) as { error?: { code: string; message: string } };
  return { status: response.status, code: body.error?.code, message: body.error?.message ?? '' };
}

/** Callers that never pause; every answer with the moment at which its request was sent. */
function hammer(key: string, pool: string) {
  const answers: { sentMs: number; status: number }[] = [];
  let running = true;
  const loops = Array.from({ length: 4 }, async () => {
    while (running) {
      const sentMs = performance.now();
      answers.push({ sentMs, status: (await chat(key, pool)).status });
    }
  });
  return {
    answers,
    async stop() {
      running = false;
      await Promise.all(loops);
    },
  };
}

test('no request after the 200 of a revocation, a removal or a deletion is served by the old rule', async () => {
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'pool', owner: 'user:admin' },
    spec: { participation: { mode: 'open', autoJoin: true, cooldown: '0s' }, access: { tokens: true } },
  });
  await network.serving('pool', node);
  const withdrawals: (readonly [string, (tokenId: string) => Promise<{ complete: boolean }>])[] = [
    ['token', (id) => network.admin.call('revokeToken', { params: { name: 'pool', id } })],
    ['membership', () => network.admin.call('removeMember', { params: { name: 'pool', node: node.id } })],
    ['Subcloud', () => network.admin.call('deleteSubcloud', { params: { name: 'pool' } })],
  ];
  for (const [what, withdraw] of withdrawals) {
    const { id, token } = await network.admin.call('createToken', { params: { name: 'pool' }, body: {} });
    if (what === 'Subcloud') {
      await eventually('the removed member has drained', async () => {
        const { state } = await network.admin.call('explainNode', { params: { name: 'pool', node: node.id } });
        return state === 'removed';
      });
      await network.admin.call('inviteMember', { params: { name: 'pool' }, body: { node: node.id } });
      await network.serving('pool', node);
    }
    await eventually(`${what}: the pool serves`, async () => (await chat(token, 'pool')).status === 200);
    const load = hammer(token, 'pool');
    await eventually(`${what}: load`, () => load.answers.length > 20);
    const { complete } = await withdraw(id);
    const doneMs = performance.now();
    await eventually(`${what}: load after`, () => load.answers.filter(({ sentMs }) => sentMs > doneMs).length > 20);
    await load.stop();
    expect(complete, what).toBe(true);
    expect(
      load.answers.filter(({ sentMs, status }) => sentMs > doneMs && status === 200),
      what,
    ).toEqual([]);
    expect(
      load.answers.some(({ status }) => status === 200),
      what,
    ).toBe(true);
  }
});

test('joining an isolating Subcloud takes the node out of the global network before it serves there, and deletion brings it back', async () => {
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'island', owner: 'user:admin' },
    spec: { participation: { mode: 'open', autoJoin: true }, isolation: 'isolate' },
  });
  await network.serving('island', node);
  const refused = await chat(network.apiKey);
  expect(refused).toMatchObject({ status: 503, code: 'routing.no_eligible_node' });
  expect(refused.message).toContain('1 isolation');
  await network.admin.call('deleteSubcloud', { params: { name: 'island' } });
  await network.serving('global', node);
  expect((await chat(network.apiKey)).status).toBe(200);
});

test('a node that dials from another place is not picked by where it was', async () => {
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'germany', owner: 'user:admin' },
    spec: { nodes: { location: { in: ['DE'] } }, participation: { mode: 'open', autoJoin: true } },
  });
  const traveller = await network.node({ name: 'traveller', address: '127.0.1.5', consent: { autoJoin: 'all' } });
  await network.serving('germany', traveller);
  await traveller.stop();
  await traveller.start('127.0.3.5');
  await eventually('the traveller is suspended', async () => {
    const { state, clauses } = await network.admin.call('explainNode', {
      params: { name: 'germany', node: traveller.id },
    });
    return state === 'suspended' && clauses.find(({ clause }) => clause === 'nodes.location')?.seen === 'US';
  });
  expect(traveller.served.filter(({ pool, accepted }) => pool === 'germany' && accepted)).toEqual([]);
  expect((await chat(network.apiKey, 'germany')).status).toBe(503);
});

/** Time passes in steps in which heartbeats still get through, as they do in real time. */
async function pass(totalMs: number): Promise<void> {
  for (let passedMs = 0; passedMs < totalMs; passedMs += 2_500) {
    network.clock.advance(2_500);
    await eventually('the heartbeats of this step', () => fetch(`${network.url}/healthz`).then(({ ok }) => ok));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('without control a gateway serves inside its lease and nobody after it, and control comes back unnoticed', async () => {
  await network.stopControl();
  await pass(TABLE_LEASE_MS / 3);
  expect((await chat(network.apiKey)).status, 'inside the lease').toBe(200);
  await pass(TABLE_LEASE_MS);
  expect(await chat(network.apiKey), 'after the lease').toMatchObject({ status: 503, code: 'platform.table_stale' });
  expect(network.gateway.ready()).toBe(false);
  expect((await fetch(`${network.url}/readyz`)).status).toBe(503);
  await network.restartControl();
  await eventually('the gateway serves again', async () => (await chat(network.apiKey)).status === 200);
});

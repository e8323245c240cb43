/** Isolation on the real network: a node for one Subcloud alone, who may isolate, how many by auto-join, and kept names. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chooseJoin, chooseLeave } from '@subcloud/agent/run';
import { ApiError } from '@subcloud/sdk/api-error';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';

let network: TestNetwork;
let other: TestNetwork['admin'];
beforeAll(async () => {
  network = await startTestNetwork();
  await network.principal('org:owner');
  other = network.client(await network.principal('org:other'));
});
afterAll(() => network[Symbol.asyncDispose]());

const OPEN = { mode: 'open', autoJoin: true, cooldown: '0s' };
const ASKED = { mode: 'open', autoJoin: false, cooldown: '0s' };

function apply(name: string, spec: object, owner = 'org:owner') {
  return network.apply({ apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name, owner }, spec });
}
const applyNetwork = (isolation: object) =>
  network.admin.call('applyNetwork', {
    body: { manifest: JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Network', spec: { isolation } }) },
  });
const pools = async (node: TestNode): Promise<Readonly<Record<string, string>>> => {
  const view = await network.admin.call('getNode', { params: { id: node.id } });
  return Object.fromEntries(view.pools.map(({ pool, state, reason }) => [pool, `${state}: ${reason}`]));
};
async function reaches(node: TestNode, pool: string, wanted: RegExp | undefined): Promise<void> {
  await eventually(`${node.name} in ${pool}`, async () => {
    const found = (await pools(node))[pool];
    if (wanted === undefined ? found === undefined : wanted.test(found ?? '')) return true;
    throw new Error(JSON.stringify(await pools(node)));
  });
}
function ask(pool: string, model: string): Promise<Response> {
  return fetch(`${network.url}/s/${pool}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${network.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hello' }] }),
  });
}
const refusal = async (asked: Promise<unknown>): Promise<ApiError> => {
  const error: unknown = await asked.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ApiError)) throw new Error('it was not refused');
  return error;
};

test('exclusive takes a node on the yes that names it, after the last answer elsewhere, and gives it back whole', async () => {
  await apply('shared-lab', { participation: OPEN });
  await apply('alone', { participation: ASKED, isolation: 'exclusive' });
  const node = await network.node({
    name: 'wanted',
    operator: 'user:operator',
    models: ['alone/model'],
    consent: { autoJoin: 'all', isolation: 'exclusive' },
  });
  await network.serving('shared-lab', node);
  await network.serving('global', node);
  // The most that an auto-join may take is all there is: this one asks nevertheless.
  const explained = await network.admin.call('explainNode', { params: { name: 'alone', node: node.id } });
  expect(explained).toMatchObject({ eligible: true, state: null, reason: 'consent', consent: { permits: false } });

  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  await node.engine.set({
    kind: 'custom',
    answer: (_request, response) =>
      void finished.then(() => {
        const message = { role: 'assistant', content: 'the last one' };
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(
          JSON.stringify({
            id: 'c',
            object: 'chat.completion',
            created: 0,
            model: 'alone/model',
            choices: [{ index: 0, message, finish_reason: 'stop' }],
          }),
        );
      }),
  });
  const underWay = ask('shared-lab', 'alone/model');
  await eventually('the answer is under way', async () => node.engine.requests.length > 0);
  chooseJoin(join(network.dataDir, 'agents', node.name), 'alone', 'exclusive');
  await reaches(node, 'shared-lab', /^draining: isolation/);
  await reaches(node, 'alone', /^requested: leaving others/);
  // Nothing new in the pools that it leaves, nothing yet in the one that it is for.
  expect((await ask('shared-lab', 'alone/model')).status).toBe(503);
  expect((await ask('alone', 'alone/model')).status).toBe(503);
  finish();
  expect(await (await underWay).text()).toContain('the last one');
  await network.serving('alone', node);
  await node.engine.set({ kind: 'ok' });
  expect((await ask('alone', 'alone/model')).status).toBe(200);
  for (const pool of ['global', 'shared-lab']) expect((await ask(pool, 'alone/model')).status).toBe(503);
  const stands = await pools(node);
  expect(Object.keys(stands).filter((pool) => stands[pool]?.startsWith('active') === true)).toEqual(['alone']);

  chooseLeave(join(network.dataDir, 'agents', node.name), 'alone');
  await network.serving('shared-lab', node);
  await network.serving('global', node);
  expect((await ask('shared-lab', 'alone/model')).status).toBe(200);
  await node.stop();
});

test('what the global network and other Subclouds would lose stands in the plan', async () => {
  const node = await network.node({
    name: 'planned',
    operator: 'user:operator',
    models: ['planned/model'],
    consent: { autoJoin: 'all', join: [{ name: 'later', isolation: 'exclusive' }] },
  });
  await network.serving('shared-lab', node);
  const manifest = {
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'later', owner: 'org:owner' },
    spec: { participation: ASKED, isolation: 'exclusive' },
  };
  const plan = await network.admin.call('planSubcloud', {
    params: { name: 'later' },
    body: { manifest: JSON.stringify(manifest) },
  });
  const lost = { gain: 0, lose: 1, models: [{ model: 'planned/model', before: 1, after: 0 }] };
  expect(plan.elsewhere).toEqual([
    { subcloud: 'global', ...lost },
    { subcloud: 'shared-lab', ...lost },
  ]);
  expect(plan.moves).toContainEqual(
    expect.objectContaining({ kind: 'leave', subcloud: 'global', to: 'draining', why: 'isolation' }),
  );
  await node.stop();
});

test('auto-join isolates at most the share of the nodes, a named yes is not counted, and a free place is given on', async () => {
  await applyNetwork({ maxShare: '40%' });
  const consent = { autoJoin: 'all', isolation: 'isolate' };
  const common = { operator: 'user:operator' as const, models: ['share/model'] };
  const nodes: TestNode[] = [];
  for (const name of ['a', 'b', 'c']) nodes.push(await network.node({ name: `share-${name}`, consent, ...common }));
  const named = await network.node({
    name: 'share-named',
    consent: { ...consent, join: ['hold'] },
    ...common,
  });
  const { items } = await network.admin.call('listNodes', { query: { limit: 100 } });
  const places = Math.floor(items.length * 0.4);
  expect(places).toBe(2);
  await apply('hold', { participation: OPEN, isolation: 'isolate', models: { allow: [{ id: 'share/model' }] } });
  await network.serving('hold', named);
  const inOrder = nodes.toSorted((x, y) => (x.id < y.id ? -1 : 1));
  const [first, second, third] = inOrder;
  if (first === undefined || second === undefined || third === undefined) throw new Error('there are three');
  await network.serving('hold', first);
  await network.serving('hold', second);
  await network.serving('global', third);
  const explained = await network.admin.call('explainNode', { params: { name: 'hold', node: third.id } });
  expect(explained).toMatchObject({ eligible: true, state: null, reason: 'isolation share taken' });
  // What one gives up the next one in order gets.
  chooseLeave(join(network.dataDir, 'agents', first.name), 'hold');
  await network.serving('hold', third);
  for (const node of [...nodes, named]) await node.stop();
});

test('who may isolate is for the Network manifest to say: no new revision, no new node, and who is in stays', async () => {
  const node = await network.node({
    name: 'loyal',
    operator: 'user:operator',
    models: ['loyal/model'],
    consent: { join: [{ name: 'kept-in', isolation: 'isolate' }] },
  });
  await apply('kept-in', { participation: ASKED, isolation: 'isolate' });
  await network.serving('kept-in', node);
  await applyNetwork({ allowedTo: ['org:other'] });
  expect(await refusal(apply('another', { isolation: 'isolate' }))).toMatchObject({ code: 'policy.forbidden' });
  expect(await refusal(apply('another', { isolation: 'exclusive' }))).toMatchObject({ code: 'policy.forbidden' });
  await apply('another', { isolation: 'shared' });
  await apply('theirs', { isolation: 'exclusive' }, 'org:other');
  await reaches(node, 'kept-in', /^active/);
  const late = await network.node({
    name: 'late',
    operator: 'user:operator',
    models: ['loyal/model'],
    consent: { join: [{ name: 'kept-in', isolation: 'isolate' }] },
  });
  await reaches(late, 'kept-in', /^requested: isolation not allowed/);
  await network.serving('global', late);
  await applyNetwork({});
  await network.serving('kept-in', late);
  await node.stop();
  await late.stop();
});

test('the name of a deleted Subcloud is kept from others for a year, in the words of one that exists', async () => {
  const theirs = () =>
    other.call('applySubcloud', {
      params: { name: 'precious' },
      body: {
        manifest: JSON.stringify({
          apiVersion: 'subcloud/v1',
          kind: 'Subcloud',
          metadata: { name: 'precious' },
          spec: {},
        }),
      },
    });
  await apply('precious', {});
  const taken = await refusal(theirs());
  await network.admin.call('deleteSubcloud', { params: { name: 'precious' } });
  const kept = await refusal(theirs());
  expect([kept.code, kept.message]).toEqual([taken.code, taken.message]);
  await network.restartControl();
  expect((await refusal(theirs())).code).toBe('client.conflict');
  await apply('precious', {});
  await network.admin.call('deleteSubcloud', { params: { name: 'precious' } });
  network.clock.advance(365 * 86_400_000 + 1_000);
  await theirs();
});

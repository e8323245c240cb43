/** What plan, draft and the limit on leaving say and keep, on the real network: a plan comes true, and changes nothing. */
import { ApiError } from '@subcloud/sdk/api-error';
import type { Client } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';

let network: TestNetwork;
let acme: Client;
let stranger: Client;
let gold: TestNode;
let silver: TestNode;
let abroad: TestNode;

beforeAll(async () => {
  network = await startTestNetwork();
  acme = network.client(await network.principal('org:acme'));
  stranger = network.client(await network.principal('org:stranger'));
  const consent = { autoJoin: 'all', isolation: 'isolate', join: [{ name: 'keeper', isolation: 'exclusive' }] };
  const operator = 'user:operator' as const;
  const inGermany = { consent, operator, concurrency: 4 };
  gold = await network.node({ ...inGermany, name: 'gold', address: '127.0.1.1', labels: { tier: 'gold' } });
  silver = await network.node({ ...inGermany, name: 'silver', address: '127.0.1.2', labels: { tier: 'silver' } });
  abroad = await network.node({ name: 'abroad', consent, operator, address: '127.0.3.1' });
  for (const node of [gold, silver, abroad]) await network.serving('global', node);
});
afterAll(() => network[Symbol.asyncDispose]());

const open = { mode: 'open', autoJoin: true, cooldown: '0s' };
function manifest(name: string, spec: object, owner = 'org:acme'): string {
  const metadata = { name, owner };
  return JSON.stringify({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata,
    spec: { participation: open, ...spec },
  });
}
const europe = { location: { in: ['EU'] } };

async function refusal(call: Promise<unknown>): Promise<ApiError> {
  const error = await call.then(
    () => undefined,
    (fault: unknown) => fault,
  );
  if (error instanceof ApiError) return error;
  throw new Error(`not refused: ${String(error)}`);
}

const inOrder = <Row>(rows: readonly Row[]): Row[] => rows.toSorted((a, b) => String(a).localeCompare(String(b)));

/** What of a refusal its reader sees. */
const told = ({ code, message, details }: ApiError) => ({ code, message, details });

async function states(name: string): Promise<Record<string, string>> {
  const { items } = await network.admin.call('listMembers', { params: { name } });
  return Object.fromEntries(items.map(({ nodeName, state }) => [nodeName, state]));
}

test('a plan for a new Subcloud names who would join, and the apply makes it so', async () => {
  const text = manifest('eu', { nodes: europe });
  const planned = await acme.call('planSubcloud', { params: { name: 'eu' }, body: { manifest: text } });
  expect(planned).toMatchObject({ change: 'create', revision: 0, counts: { join: 2, leave: 0, suspend: 0 } });
  expect(inOrder(planned.moves.map(({ nodeName, kind, to }) => [nodeName, kind, to]))).toEqual([
    ['gold', 'join', 'active'],
    ['silver', 'join', 'active'],
  ]);
  expect(planned.capacity.after).toEqual({ members: 2, concurrency: 8, undeclared: 0 });
  const { items } = await acme.call('listSubclouds');
  expect(items).toEqual([]);

  await acme.call('applySubcloud', { params: { name: 'eu' }, body: { manifest: text } });
  expect(await states('eu')).toEqual({ gold: 'active', silver: 'active' });
  const again = await acme.call('planSubcloud', { params: { name: 'eu' }, body: { manifest: text } });
  expect(again).toMatchObject({ change: 'none', moves: [], counts: { unchanged: 2 } });
});

test('a plan of an isolating revision says what the global network loses and who is suspended for what', async () => {
  const text = manifest('eu', { nodes: { ...europe, labels: { tier: 'gold' } }, isolation: 'isolate' });
  const planned = await acme.call('planSubcloud', { params: { name: 'eu' }, body: { manifest: text } });
  const moves = planned.moves.map(({ nodeName, subcloud, from, to, why }) => [nodeName, subcloud, from, to, why]);
  expect(inOrder(moves)).toEqual([
    ['gold', 'global', 'active', null, 'isolation'],
    ['silver', 'eu', 'active', 'suspended', 'nodes.labels'],
    ['silver', 'global', 'active', null, 'isolation'],
  ]);
  expect(planned.elsewhere).toEqual([
    { subcloud: 'global', gain: 0, lose: 2, models: [{ model: 'test-model', before: 2, after: 0 }] },
  ]);
  expect(planned.models).toMatchObject([{ model: 'test-model', before: { members: 2 }, after: { members: 1 } }]);
  expect(await states('eu')).toEqual({ gold: 'active', silver: 'active' });
});

test('an apply that would take out more than it may is refused with the numbers, and nothing is changed', async () => {
  const text = manifest('eu', { nodes: { ...europe, labels: { tier: 'gold' } } });
  for (const node of [gold, silver]) await network.serving('eu', node);
  const before = await acme.call('getSubcloud', { params: { name: 'eu' } });
  const body = { manifest: text, maxLeavePercent: 49.9 };
  const refused = await refusal(acme.call('applySubcloud', { params: { name: 'eu' }, body }));
  expect(refused.code).toBe('policy.too_many_leave');
  expect(refused.details).toEqual({ active: 2, leaving: 1, percent: 50, maxLeavePercent: 49.9 });
  expect(await acme.call('getSubcloud', { params: { name: 'eu' } })).toEqual(before);

  await acme.call('applySubcloud', { params: { name: 'eu' }, body: { manifest: text, maxLeavePercent: 50 } });
  expect(await states('eu')).toEqual({ gold: 'active', silver: 'suspended' });
});

test('revisions tell who and when, differ by path, and an old one can be brought back as a new one', async () => {
  const { items } = await acme.call('listRevisions', { params: { name: 'eu' } });
  expect(items.map(({ revision, createdBy }) => [revision, createdBy])).toEqual([
    [2, 'org:acme'],
    [1, 'org:acme'],
  ]);
  const { from, to, changes } = await acme.call('diffRevisions', { params: { name: 'eu' } });
  expect({ from, to }).toEqual({ from: 1, to: 2 });
  expect(changes).toEqual([{ path: 'spec.nodes.labels.tier', kind: 'added', before: null, after: 'gold' }]);

  const done = await acme.call('rollbackSubcloud', { params: { name: 'eu' }, body: { revision: 1 } });
  expect(done).toMatchObject({ change: 'updated', subcloud: { revision: 3 }, withdrawal: { complete: true } });
  expect((await acme.call('diffRevisions', { params: { name: 'eu' }, query: { from: 1 } })).changes).toEqual([]);
  await network.serving('eu', silver);
  const unknown = await refusal(acme.call('rollbackSubcloud', { params: { name: 'eu' }, body: { revision: 9 } }));
  expect(unknown).toMatchObject({ code: 'client.not_found', message: expect.stringContaining('no revision 9') });
});

test('a draft is decided on live facts and touches no membership, table or document; an apply ends it', async () => {
  const before = {
    states: await states('eu'),
    revision: (await acme.call('getSubcloud', { params: { name: 'eu' } })).revision,
  };
  const text = manifest('eu', { nodes: { labels: { tier: 'gold' } } });
  const stored = await acme.call('putDraft', { params: { name: 'eu' }, body: { manifest: text } });
  expect(stored.plan).toMatchObject({ counts: { suspend: 1, join: 0 } });

  const late = await network.node({
    name: 'late',
    operator: 'user:operator',
    address: '127.0.3.9',
    labels: { tier: 'gold' },
    consent: { autoJoin: 'all', isolation: 'isolate' },
  });
  await network.serving('global', late);
  const { plan, draft } = await acme.call('getDraft', { params: { name: 'eu' } });
  expect(plan.moves.filter(({ kind }) => kind === 'join').map(({ nodeName }) => nodeName)).toEqual(['late']);
  expect(draft).toMatchObject({ manifest: text, createdBy: 'org:acme' });
  expect(await states('eu')).toEqual(before.states);
  expect((await acme.call('getSubcloud', { params: { name: 'eu' } })).revision).toBe(before.revision);

  await network.restartControl();
  await eventually('the gateway has its table', () => network.gateway.ready());
  expect(await states('eu')).toEqual(before.states);
  expect((await acme.call('getDraft', { params: { name: 'eu' } })).draft.contentHash).toBe(draft.contentHash);

  await acme.call('applySubcloud', { params: { name: 'eu' }, body: { manifest: text } });
  expect((await refusal(acme.call('getDraft', { params: { name: 'eu' } }))).code).toBe('client.not_found');
  expect(await acme.call('deleteDraft', { params: { name: 'eu' } })).toEqual({ ended: false });
  await network.admin.call('removeNode', { params: { id: late.id } });
  await acme.call('rollbackSubcloud', { params: { name: 'eu' }, body: { revision: 1 } });
});

test('a draft publishes no table', async () => {
  for (const node of [gold, silver]) for (const pool of ['eu', 'global']) await network.serving(pool, node);
  // A rollback to what is in force changes nothing, and says which table is in force.
  const inForce = async (): Promise<number> => {
    const same = await acme.call('rollbackSubcloud', { params: { name: 'eu' }, body: { revision: 1 } });
    expect(same.change).toBe('unchanged');
    return same.withdrawal.tableVersion;
  };
  const version = await inForce();
  const text = manifest('eu', { nodes: { location: { in: ['JP'] } }, isolation: 'isolate' });
  await acme.call('putDraft', { params: { name: 'eu' }, body: { manifest: text } });
  const { plan } = await acme.call('getDraft', { params: { name: 'eu' } });
  expect(plan.counts).toMatchObject({ suspend: 2 });
  await network.control.idle();
  expect(await inForce()).toBe(version);
});

test('tests of a manifest that do not hold are listed by the plan and keep an apply from happening', async () => {
  const tests = [
    {
      name: 'a node in Hungary stays out',
      node: { location: { country: 'HU', source: 'measured' } },
      expect: { eligible: false, failing: ['nodes.location'] },
    },
  ];
  const text = manifest('tested', { nodes: europe, tests });
  const planned = await acme.call('planSubcloud', { params: { name: 'tested' }, body: { manifest: text } });
  expect(planned.failingTests).toMatchObject([{ name: 'a node in Hungary stays out' }]);
  const refused = await refusal(acme.call('applySubcloud', { params: { name: 'tested' }, body: { manifest: text } }));
  expect(refused).toMatchObject({ code: 'config.failing_tests', message: expect.stringContaining('Hungary') });
  const { items } = await acme.call('listSubclouds');
  expect(items.map(({ name }) => name)).toEqual(['eu']);
});

test('what pools lose that the reader may not know of is counted and not named', async () => {
  const theirs = manifest('theirs', { nodes: { labels: { tier: 'gold' } } }, 'org:stranger');
  await stranger.call('applySubcloud', { params: { name: 'theirs' }, body: { manifest: theirs } });
  await network.serving('theirs', gold);
  const text = manifest('keeper', { models: { allow: [{ id: 'test-model' }], private: true }, nodes: europe });
  const asOwner = await acme.call('planSubcloud', { params: { name: 'keeper' }, body: { manifest: text } });
  expect(asOwner.hidden).toEqual({ gain: 0, lose: 1 });
  expect(JSON.stringify(asOwner)).not.toContain('theirs');
  const asAdmin = await network.admin.call('planSubcloud', { params: { name: 'keeper' }, body: { manifest: text } });
  expect(asAdmin.hidden).toEqual({ gain: 0, lose: 0 });
  expect(asAdmin.elsewhere.map(({ subcloud, lose }) => [subcloud, lose])).toContainEqual(['theirs', 1]);
  await stranger.call('deleteSubcloud', { params: { name: 'theirs' } });
});

test('a deletion can be planned', async () => {
  const planned = await acme.call('planSubcloud', { params: { name: 'eu' }, body: { manifest: null } });
  expect(planned).toMatchObject({ change: 'delete', counts: { leave: 2 }, capacity: { after: { members: 0 } } });
});

test('to whoever does not own it a Subcloud that exists answers with the same bytes as one that does not', async () => {
  const calls = {
    delete: (name: string) => stranger.call('planSubcloud', { params: { name }, body: { manifest: null } }),
    draft: (name: string) => stranger.call('getDraft', { params: { name } }),
    putDraft: (name: string) =>
      stranger.call('putDraft', { params: { name }, body: { manifest: manifest(name, {}, 'org:stranger') } }),
    endDraft: (name: string) => stranger.call('deleteDraft', { params: { name } }),
    diff: (name: string) => stranger.call('diffRevisions', { params: { name } }),
    rollback: (name: string) => stranger.call('rollbackSubcloud', { params: { name }, body: { revision: 1 } }),
    explain: (name: string) => stranger.call('explainSubcloud', { params: { name } }),
    explainNode: (name: string) => stranger.call('explainNode', { params: { name, node: gold.id } }),
  };
  for (const [what, call] of Object.entries(calls)) {
    const [real, absent] = [told(await refusal(call('eu'))), told(await refusal(call('xx')))];
    expect(JSON.stringify(real).replaceAll('eu', 'xx'), what).toBe(JSON.stringify(absent));
    expect(real.code, what).toBe('client.not_found');
  }
  const nobody = await refusal(stranger.call('whatIf', { params: { id: 'nod_0' }, body: { facts: {} } }));
  const real = await refusal(stranger.call('whatIf', { params: { id: gold.id }, body: { facts: {} } }));
  expect(JSON.stringify(told(real)).replaceAll(gold.id, 'nod_0')).toBe(JSON.stringify(told(nobody)));
});

test('what if: the facts supposed replace those of the node, for its operator and for owners it has applied to', async () => {
  const operator = network.client(await network.principal('user:operator'));
  const facts = { location: { country: 'FR' }, labels: { tier: 'silver' } };
  const asAdmin = await network.admin.call('whatIf', { params: { id: abroad.id }, body: { facts } });
  expect(asAdmin.items.map(({ subcloud }) => subcloud)).toEqual(['eu', 'global']);
  expect(asAdmin.items[0]).toMatchObject({
    current: { eligible: false, state: null, reason: 'nodes.location' },
    supposed: { eligible: true, state: 'active', models: ['test-model'] },
  });
  const asOperator = await operator.call('whatIf', { params: { id: abroad.id }, body: { facts } });
  expect(asOperator.items.map(({ subcloud }) => subcloud)).toEqual(['eu', 'global']);
  const asOwner = await acme.call('whatIf', {
    params: { id: gold.id },
    body: { facts: { location: { country: 'US' } } },
  });
  expect(
    asOwner.items.map(({ subcloud, current, supposed }) => [subcloud, current.state, supposed.state, supposed.reason]),
  ).toEqual([['eu', 'active', 'suspended', 'nodes.location']]);
  expect(await states('eu')).toEqual({ gold: 'active', silver: 'active' });
});

test('the Network manifest is planned, drafted, limited, compared and brought back like any other', async () => {
  const params = { name: 'global' };
  const only = (tier: string): string =>
    JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Network', spec: { nodes: { labels: { tier } } } });
  const { admin } = network;
  const planned = await admin.call('planSubcloud', { params, body: { manifest: only('gold') } });
  expect(inOrder(planned.moves.map(({ nodeName, kind, why }) => [nodeName, kind, why]))).toEqual([
    ['abroad', 'suspend', 'nodes.labels'],
    ['silver', 'suspend', 'nodes.labels'],
  ]);
  const limited = admin.call('applyNetwork', { body: { manifest: only('gold'), maxLeavePercent: 60 } });
  expect((await refusal(limited)).details).toMatchObject({ active: 3, leaving: 2 });
  expect((await admin.call('putDraft', { params, body: { manifest: only('gold') } })).plan.moves).toEqual(
    planned.moves,
  );
  await admin.call('applyNetwork', { body: { manifest: only('gold') } });
  expect((await admin.call('diffRevisions', { params })).changes).toEqual([
    { path: 'spec.nodes.labels.tier', kind: 'added', before: null, after: 'gold' },
  ]);
  const back = await admin.call('rollbackSubcloud', { params, body: { revision: 1 } });
  expect(back).toMatchObject({ change: 'updated', subcloud: { name: 'global', revision: 3 } });
  for (const node of [gold, silver, abroad]) await network.serving('global', node);
  expect((await refusal(acme.call('planSubcloud', { params, body: { manifest: only('gold') } }))).code).toBe(
    'client.conflict',
  );
});

/** The Network manifest governs the pool `global` and nothing else, and `where` and tests hold there as anywhere. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiError } from '@subcloud/sdk/api-error';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';

let network: TestNetwork;
let german: TestNode;
let american: TestNode;

beforeAll(async () => {
  network = await startTestNetwork();
  const common = { operator: 'user:admin', consent: { autoJoin: 'all' } } as const;
  german = await network.node({ name: 'german', address: '127.0.1.1', labels: { rack: 'r1' }, ...common });
  american = await network.node({ name: 'american', address: '127.0.3.1', labels: { rack: 'r7' }, ...common });
  await network.serving('global', german);
  await network.serving('global', american);
});
afterAll(() => network[Symbol.asyncDispose]());

const applyNetwork = (spec: object, more: { ifRevision?: number } = {}) =>
  network.admin.call('applyNetwork', {
    body: { manifest: JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Network', spec }), ...more },
  });
const global = () => network.admin.call('getSubcloud', { params: { name: 'global' } });
const states = async (node: TestNode): Promise<Readonly<Record<string, string>>> => {
  const { pools } = await network.admin.call('getNode', { params: { id: node.id } });
  return Object.fromEntries(pools.map(({ pool, state, reason }) => [pool, `${state}: ${reason}`]));
};
const isIn = (pools: Readonly<Record<string, string>>): boolean => pools['global']?.startsWith('active') === true;
const refusal = async (asked: Promise<unknown>): Promise<ApiError> => {
  const error: unknown = await asked.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ApiError)) throw new Error('it was not refused');
  return error;
};

test('its default is the first revision, and the same again changes nothing', async () => {
  expect(await global()).toMatchObject({ name: 'global', owner: null, revision: 1, members: { active: 2 } });
  expect(await applyNetwork({})).toMatchObject({ change: 'unchanged', subcloud: { revision: 1 } });
});

test('takes nodes out of the global pool, and out of no other', async () => {
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'everywhere', owner: 'user:admin' },
    spec: { participation: { mode: 'open', autoJoin: true } },
  });
  await network.serving('everywhere', american);
  const applied = await applyNetwork({
    nodes: { location: { in: ['EU'] }, where: 'node.labels.rack != "r7"' },
    tests: [{ name: 'the US stays out', node: { location: { country: 'US' } }, expect: { eligible: false } }],
  });
  expect(applied).toMatchObject({ change: 'updated', subcloud: { revision: 2 }, withdrawal: { complete: true } });
  await eventually('the American node is out', async () => !isIn(await states(american)));
  expect((await states(american))['everywhere']).toMatch(/^active/);
  expect((await states(german))['global']).toMatch(/^active/);
});

test('is shown to the admin, with its revisions, and not to others', async () => {
  const shown = await global();
  expect(shown).toMatchObject({ revision: 2, manifest: expect.stringContaining('node.labels.rack') });
  const { items } = await network.admin.call('listRevisions', { params: { name: 'global' }, query: {} });
  expect(items.map(({ revision, createdBy }) => [revision, createdBy])).toEqual([[2, 'admin']]);
  const stranger = network.client(await network.principal('user:stranger'));
  expect((await refusal(stranger.call('getSubcloud', { params: { name: 'global' } }))).code).toBe('client.not_found');
  const asStranger = stranger.call('applyNetwork', { body: { manifest: 'kind: Network\napiVersion: subcloud/v1' } });
  expect((await refusal(asStranger)).status).toBe(403);
});

test('survives a restart of control', async () => {
  await network.restartControl();
  expect(await global()).toMatchObject({ revision: 2, manifest: expect.stringContaining('node.labels.rack') });
  await network.serving('global', german);
  expect((await states(american))['global']).not.toMatch(/^active/);
});

test('is refused with faults, failing tests and an old revision, and then changes nothing', async () => {
  const faulty = await refusal(applyNetwork({ nodes: { where: 'node.id.matches("a")' } }));
  expect(faulty).toMatchObject({
    code: 'config.invalid_manifest',
    details: { errors: [{ path: 'spec.nodes.where', message: expect.stringContaining('`matches` is not allowed') }] },
  });
  const failing = await refusal(
    applyNetwork({
      nodes: { location: { in: ['EU'] } },
      tests: [
        { name: 'the US comes in', node: { location: { country: 'US' } }, expect: { eligible: true } },
        { name: 'Germany comes in', node: { location: { country: 'DE' } }, expect: { eligible: true } },
      ],
    }),
  );
  expect(failing).toMatchObject({
    code: 'config.failing_tests',
    status: 422,
    details: {
      tests: [
        {
          name: 'the US comes in',
          expected: { eligible: true },
          got: { eligible: false, failing: ['nodes.location'] },
          clauses: [{ clause: 'nodes.location', seen: 'US' }],
        },
      ],
    },
  });
  expect((await refusal(applyNetwork({}, { ifRevision: 1 }))).code).toBe('client.revision_conflict');
  expect(await global()).toMatchObject({ revision: 2 });
});

test('rests on the domains of the network: a changed one decides again', async () => {
  const set = (members: string[]) =>
    network.admin.call('putDomain', { params: { name: 'HOME' }, body: { members, unclear: [] } as never });
  await set(['US']);
  await applyNetwork({ nodes: { location: { in: ['HOME'] } } });
  await network.serving('global', american);
  await eventually('the German node is out', async () => !isIn(await states(german)));
  const { effectiveHash } = await global();
  await set(['US', 'DE']);
  await network.serving('global', german);
  expect((await global()).effectiveHash).not.toBe(effectiveHash);
  await network.restartControl();
  expect(await global()).toMatchObject({ revision: 3 });
  await network.serving('global', german);
});

test('can be taken back: by its default all are in again', async () => {
  expect(await applyNetwork({})).toMatchObject({ change: 'updated', subcloud: { revision: 4 } });
  await network.serving('global', german);
  await network.serving('global', american);
});

/** Named places that the admin and owners define: what they mean to manifests, and that a change is decided again. */
import { ApiError } from '@subcloud/sdk/api-error';
import type { Client } from '@subcloud/sdk/client';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';

let network: TestNetwork;
let acme: Client;
let stranger: Client;
let german: TestNode;
let french: TestNode;

beforeAll(async () => {
  network = await startTestNetwork();
  acme = network.client(await network.principal('org:acme'));
  stranger = network.client(await network.principal('org:stranger'));
  const consent = { autoJoin: 'all' };
  german = await network.node({ name: 'german', consent, operator: 'user:operator', address: '127.0.1.1' });
  french = await network.node({ name: 'french', consent, operator: 'user:operator', address: '127.0.2.1' });
  for (const node of [german, french]) await network.serving('global', node);
});
afterAll(() => network[Symbol.asyncDispose]());

function manifest(name: string, places: readonly string[], owner: string): string {
  return JSON.stringify({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name, owner },
    spec: { nodes: { location: { in: places } }, participation: { mode: 'open', autoJoin: true, cooldown: '0s' } },
  });
}

async function refusal(call: Promise<unknown>): Promise<ApiError> {
  const error = await call.then(
    () => undefined,
    (fault: unknown) => fault,
  );
  if (error instanceof ApiError) return error;
  throw new Error(`not refused: ${String(error)}`);
}

async function states(name: string): Promise<Record<string, string>> {
  const { items } = await network.admin.call('listMembers', { params: { name } });
  return Object.fromEntries(items.map(({ nodeName, state }) => [nodeName, state]));
}

const put = (client: Client, name: string, members: string[], owner?: 'org:acme' | 'org:stranger') =>
  client.call('putDomain', { params: { name }, body: { members, ...(owner === undefined ? {} : { owner }) } });

test('a domain of the network is a place in every manifest; a change has a new version and hash, and is decided again', async () => {
  const made = await put(network.admin, 'HOME', ['DE', 'AT']);
  expect(made).toMatchObject({ change: 'created', domain: { id: 'HOME', owner: null, members: ['AT', 'DE'] } });
  expect(made.domain.version).toMatch(/^\d{4}-\d{2}-\d{2}\.1$/);
  await acme.call('applySubcloud', {
    params: { name: 'home' },
    body: { manifest: manifest('home', ['HOME'], 'org:acme') },
  });
  expect(await states('home')).toEqual({ german: 'active' });
  await network.serving('home', german);
  const before = await acme.call('getSubcloud', { params: { name: 'home' } });

  const moved = await put(network.admin, 'HOME', ['FR']);
  expect(moved).toMatchObject({ change: 'updated', domain: { usedBy: ['home'] }, withdrawal: { complete: true } });
  expect(moved.domain.version).toMatch(/\.2$/);
  expect(await states('home')).toEqual({ german: 'suspended', french: 'active' });
  const after = await acme.call('getSubcloud', { params: { name: 'home' } });
  expect(after.revision).toBe(before.revision);
  expect(after.effectiveHash).not.toBe(before.effectiveHash);

  // The same members again are the same list: nothing is decided, no version made.
  expect(await put(network.admin, 'HOME', ['FR', 'FR'])).toMatchObject({ change: 'unchanged' });
  await network.restartControl();
  const restarted = await acme.call('getSubcloud', { params: { name: 'home' } });
  expect(restarted.effectiveHash).toBe(after.effectiveHash);
  expect(await states('home')).toEqual({ german: 'suspended', french: 'active' });
});

test('a domain of an owner carries its name, and counts in Subclouds of that owner only', async () => {
  await put(acme, 'PLANTS', ['FR'], 'org:acme');
  const own = manifest('plants', ['org:acme/PLANTS'], 'org:acme');
  await acme.call('applySubcloud', { params: { name: 'plants' }, body: { manifest: own } });
  await network.serving('plants', french);
  const theirs = manifest('theirs', ['org:acme/PLANTS'], 'org:stranger');
  for (const client of [stranger, network.admin]) {
    const refused = await refusal(
      client.call('applySubcloud', { params: { name: 'theirs' }, body: { manifest: theirs } }),
    );
    expect(refused.code).toBe('config.invalid_manifest');
    expect(refused.details).toMatchObject({
      errors: [{ path: 'spec.nodes.location.in[0]', line: 1, message: expect.stringContaining('is no place') }],
    });
  }
  const named = await refusal(put(acme, 'HOME', ['DE']));
  expect(named).toMatchObject({ code: 'policy.forbidden' });
  expect((await refusal(put(stranger, 'PLANTS', ['DE'], 'org:acme'))).code).toBe('policy.forbidden');
});

test('a domain that a Subcloud names is not deleted, and the refusal says which', async () => {
  const query = { owner: 'org:acme' as const };
  const inUse = await refusal(acme.call('deleteDomain', { params: { name: 'PLANTS' }, query }));
  expect(inUse).toMatchObject({ code: 'client.conflict', message: expect.stringContaining('plants') });
  await acme.call('deleteSubcloud', { params: { name: 'plants' } });
  expect(await acme.call('deleteDomain', { params: { name: 'PLANTS' }, query })).toEqual({
    deleted: 'org:acme/PLANTS',
  });
  // Defined anew it goes on counting: one version never means two lists.
  expect((await put(acme, 'PLANTS', ['DE'], 'org:acme')).domain.version).toMatch(/\.2$/);
});

test('whoever may not read a domain of an owner gets the same bytes as for one that is not there', async () => {
  const ask = (name: string) =>
    refusal(stranger.call('getDomain', { params: { name }, query: { owner: 'org:acme' } })).then(
      ({ code, message, details }) => JSON.stringify({ code, message, details }),
    );
  expect((await ask('PLANTS')).replaceAll('PLANTS', 'NOTHING')).toBe(await ask('NOTHING'));
  const seen = async (client: Client) =>
    (await client.call('listDomains', { query: { limit: 1000 } })).items
      .filter(({ builtIn }) => !builtIn)
      .map(({ id }) => id);
  expect(await seen(stranger)).toEqual(['HOME']);
  expect(await seen(acme)).toEqual(['HOME', 'org:acme/PLANTS']);
  expect((await acme.call('getDomain', { params: { name: 'EU' } })).builtIn).toBe(true);
  // Who uses a domain is for those to know who may know of the Subcloud.
  expect((await stranger.call('getDomain', { params: { name: 'HOME' } })).usedBy).toEqual([]);
});

test.each([
  ['a member that is no code', 'FINE', ['DE', 'XQ']],
  ['another domain as member', 'FINE', ['EU']],
  ['a name that is built in', 'EU', ['DE']],
  ['a name of the shape of a code', 'QZ', ['DE']],
])('%s is refused', async (_what, name, members) => {
  const refused = await refusal(put(network.admin, name, members));
  expect(refused.code).toMatch(/^(config\.invalid_domain|client\.invalid_request)$/);
});

test('a domain that the Network manifest names is decided again for the global pool too', async () => {
  const { admin } = network;
  const text = JSON.stringify({
    apiVersion: 'subcloud/v1',
    kind: 'Network',
    spec: { nodes: { location: { in: ['HOME'] } } },
  });
  await admin.call('applyNetwork', { body: { manifest: text } });
  expect(await states('global')).toEqual({ german: 'suspended', french: 'active' });
  await put(admin, 'HOME', ['DE', 'FR']);
  await network.serving('global', german);
  expect((await refusal(admin.call('deleteDomain', { params: { name: 'HOME' } }))).message).toContain('global');
});

/** Quotas through the API and the command line: what is refused, with which words, and what is let through. */
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandLine } from './run-command.ts';

let network: TestNetwork;
beforeAll(async () => {
  network = await startTestNetwork();
}, 60_000);
afterAll(() => network[Symbol.asyncDispose]());

const apply = (name: string, owner: string, where?: string): Promise<unknown> =>
  network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name, owner },
    spec: where === undefined ? {} : { nodes: { where } },
  });
const full = (quota: string, used: number, limit: number) => ({
  code: 'policy.quota_exceeded',
  status: 403,
  details: expect.objectContaining({ quota, used, limit }) as unknown,
});
const used = async (principal: 'user:a' | 'user:b' | 'org:acme') =>
  (await network.admin.call('getQuota', { query: { principal } })).used;

test('Subclouds, tokens and domains end at the limit, a deletion makes room, and the words say who can raise it', async () => {
  const a = network.client(await network.principal('user:a'));
  await network.admin.call('setQuota', {
    body: { principal: 'user:a', limits: { subclouds: 2, tokens: 2, domains: 1 } },
  });
  await Promise.all([apply('a-1', 'user:a'), apply('a-2', 'user:a')]);
  await expect(apply('a-3', 'user:a')).rejects.toMatchObject(full('subclouds', 2, 2));
  await expect(apply('a-3', 'user:a')).rejects.toThrow('`subcloud quota set user:a subclouds=N`');
  // What is there can be changed as before.
  await apply('a-1', 'user:a', 'node.gpu.count >= 2');
  await network.admin.call('deleteSubcloud', { params: { name: 'a-2' } });
  await apply('a-3', 'user:a');
  const made = await Promise.allSettled(
    Array.from({ length: 6 }, () => a.call('createToken', { params: { name: 'a-1' }, body: {} })),
  );
  expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
  const [first] = (await a.call('listTokens', { params: { name: 'a-1' } })).items;
  await a.call('rotateToken', { params: { name: 'a-1', id: first?.id ?? '' }, body: {} });
  await a.call('revokeToken', { params: { name: 'a-1', id: first?.id ?? '' } });
  await a.call('createToken', { params: { name: 'a-1' }, body: {} });
  await a.call('putDomain', { params: { name: 'PLANTS' }, body: { owner: 'user:a', members: ['DE'] } });
  await a.call('putDomain', { params: { name: 'PLANTS' }, body: { owner: 'user:a', members: ['FR'] } });
  await expect(
    a.call('putDomain', { params: { name: 'OTHERS' }, body: { owner: 'user:a', members: ['DE'] } }),
  ).rejects.toMatchObject(full('domains', 1, 1));
  expect(await used('user:a')).toEqual({ subclouds: 2, tokens: 2, domains: 1, celSteps: 5, organisations: 0 });
});

test('expressions count by what they can cost: a dearer one is refused, a cheaper one is let through above the limit', async () => {
  await network.principal('user:b');
  const dear = 'node.models.all(m, m.startsWith("lab/"))';
  await apply('b-1', 'user:b', dear);
  const cost = (await used('user:b'))?.celSteps ?? 0;
  expect(cost).toBeGreaterThan(2_500);
  await network.admin.call('setQuota', { body: { principal: 'user:b', limits: { celSteps: 100 } } });
  await expect(apply('b-2', 'user:b', 'node.gpu.count >= 2')).rejects.toMatchObject(full('celSteps', cost, 100));
  await apply('b-2', 'user:b');
  await apply('b-1', 'user:b', 'node.gpu.count >= 2');
  await apply('b-2', 'user:b', 'node.gpu.count >= 4');
  await expect(apply('b-1', 'user:b', dear)).rejects.toMatchObject({ code: 'policy.quota_exceeded' });
  expect((await used('user:b'))?.celSteps).toBe(10);
});

test('a Subcloud that changes hands counts with who takes it, with its tokens, and not at all inside an organisation', async () => {
  await network.principal('org:acme');
  await network.principal('team:acme/ml');
  await network.principal('user:c');
  await apply('c-1', 'user:c');
  for (let token = 0; token < 3; token += 1)
    await network.admin.call('createToken', { params: { name: 'c-1' }, body: {} });
  const give = (to: 'org:acme' | 'team:acme/ml') =>
    network.admin.call('transferSubcloud', { params: { name: 'c-1' }, body: { to } });
  await network.admin.call('setQuota', { body: { principal: 'org:acme', limits: { tokens: 2, subclouds: 1 } } });
  await expect(give('team:acme/ml')).rejects.toMatchObject(full('tokens', 0, 2));
  await network.admin.call('setQuota', { body: { principal: 'org:acme', limits: { tokens: null } } });
  await give('team:acme/ml');
  await give('org:acme');
  await give('team:acme/ml');
  await expect(apply('acme-2', 'org:acme')).rejects.toMatchObject(full('subclouds', 1, 1));
  expect(await used('org:acme')).toMatchObject({ subclouds: 1, tokens: 3 });
  await expect(
    network.admin.call('setQuota', { body: { principal: 'team:acme/ml', limits: {} } }),
  ).rejects.toMatchObject({ code: 'client.invalid_request' });
});

test('whoever works for an owner is refused without its numbers', async () => {
  const delegate = network.client(await network.principal('user:delegate'));
  await network.principal('user:d');
  await apply('d-1', 'user:d');
  await network.admin.call('putDelegates', { params: { name: 'd-1' }, body: { delegates: ['user:delegate'] } });
  await network.admin.call('setQuota', { body: { principal: 'user:d', limits: { tokens: 0 } } });
  await expect(delegate.call('createToken', { params: { name: 'd-1' }, body: {} })).rejects.toMatchObject({
    code: 'policy.quota_exceeded',
    details: { quota: 'tokens', principal: 'user:d' },
  });
});

test('by command line: the admin sets what everybody and somebody may have, and everybody sees its own', async () => {
  const admin = commandLine(network, network.apiKey);
  const root = network.admin;
  await root.call('setQuota', { body: { limits: { organisations: 3 } } });
  expect(await root.call('getQuota', {})).toMatchObject({ principal: null, used: null, limits: { organisations: 3 } });
  const key = await network.principal('user:e');
  const run = commandLine(network, key);
  expect(await run.json('quota', 'get')).toMatchObject({ principal: 'user:e', limits: { organisations: 3 }, own: [] });
  expect((await run('quota', 'get')).stdout).toMatch(/organisations +0 +3 +as everybody/);
  expect((await run('quota', 'set', 'user:e', 'organisations=9')).stderr).toContain('may');
  expect((await run('quota', 'get', 'user:a')).stderr).toContain('may not');
  expect((await admin('quota', 'set', 'user:e', 'nothing=9')).stderr).toContain('no quota');
});

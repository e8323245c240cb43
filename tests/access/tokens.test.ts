/** Tokens through the real network: narrowed, rotated, told when they were used, and never kept in clear. */
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';

let network: TestNetwork;
let node: TestNode;
const POOL = 'pool';
beforeAll(async () => {
  network = await startTestNetwork();
  node = await network.node({ name: 'one', models: ['lab/small', 'lab/large'], consent: { autoJoin: 'all' } });
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: POOL, owner: 'user:admin' },
    spec: {
      models: { allow: [{ id: 'lab/small', alias: 'mini' }, { id: 'lab/large' }] },
      participation: { mode: 'open', autoJoin: true },
      access: { tokens: true },
    },
  });
  await network.serving(POOL, node);
});
afterAll(() => network[Symbol.asyncDispose]());

async function ask(key: string, model: string): Promise<{ status: number; code: string | undefined }> {
  const response = await fetch(`${network.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [] }),
  });
  const { error } = (await response.json()) as { error?: { code: string } };
  return { status: response.status, code: error?.code };
}

async function models(key: string): Promise<string[]> {
  const response = await fetch(`${network.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  const { data } = (await response.json()) as { data?: { id: string }[] };
  return data?.map(({ id }) => id) ?? [`status ${response.status}`];
}

const create = (body: object) => network.admin.call('createToken', { params: { name: POOL }, body });

test('a token names the models that it is narrowed to and no other, and is shown no other', async () => {
  const { token } = await create({ models: ['mini'] });
  expect(await models(token)).toEqual(['mini']);
  expect(await ask(token, 'mini')).toMatchObject({ status: 200 });
  for (const model of ['lab/large', 'lab/small', 'absent'])
    expect(await ask(token, model), model).toEqual({ status: 403, code: 'policy.model_denied' });
  const globbed = await create({ models: ['lab/s*'] });
  expect(await models(globbed.token)).toEqual(['lab/small', 'mini']);
  expect(await ask(globbed.token, 'mini'), 'an alias of what it may use').toMatchObject({ status: 200 });
});

test('a token is good for its scopes only', async () => {
  const listing = await create({ scopes: ['models'] });
  expect(await models(listing.token)).toHaveLength(3);
  expect(await ask(listing.token, 'mini')).toEqual({ status: 403, code: 'policy.forbidden' });
  const chatting = await create({ scopes: ['chat'] });
  expect(await ask(chatting.token, 'mini')).toMatchObject({ status: 200 });
  expect(await models(chatting.token)).toEqual(['status 403']);
});

test('narrower limits are those of the token, before and after its rotation', async () => {
  const { id, token } = await create({ limits: { requestsPerMinute: 2 } });
  expect(await ask(token, 'mini')).toMatchObject({ status: 200 });
  const rotated = await network.admin.call('rotateToken', { params: { name: POOL, id }, body: {} });
  expect(await ask(rotated.token, 'mini')).toMatchObject({ status: 200 });
  for (const secret of [token, rotated.token])
    expect(await ask(secret, 'mini')).toEqual({ status: 429, code: 'policy.limit_exceeded' });
});

test('a rotated token opens with both secrets for the overlap, then with the new one alone, also across a restart', async () => {
  const { id, token } = await create({});
  const first = await network.admin.call('rotateToken', { params: { name: POOL, id }, body: { overlapS: 600 } });
  for (const secret of [token, first.token]) expect(await ask(secret, 'mini')).toMatchObject({ status: 200 });
  await network.restartControl();
  await eventually('control is back', () => network.admin.call('whoami', {}).then(() => true));
  for (const secret of [token, first.token]) expect(await ask(secret, 'mini')).toMatchObject({ status: 200 });
  const second = await network.admin.call('rotateToken', { params: { name: POOL, id }, body: { overlapS: 0 } });
  expect(second.withdrawal.complete).toBe(true);
  for (const secret of [token, first.token]) expect((await ask(secret, 'mini')).status).toBe(401);
  expect(await ask(second.token, 'mini')).toMatchObject({ status: 200 });
  const third = await network.admin.call('rotateToken', { params: { name: POOL, id }, body: { overlapS: 600 } });
  await network.admin.call('revokeToken', { params: { name: POOL, id } });
  for (const secret of [second.token, third.token]) expect((await ask(secret, 'mini')).status).toBe(401);
});

test('when it was used is told within a minute or so, and no secret is stored', async () => {
  const { id, token } = await create({ name: 'counted' });
  const used = async (): Promise<string | null | undefined> => {
    const { items } = await network.admin.call('listTokens', { params: { name: POOL }, query: { limit: 1000 } });
    return items.find((item) => item.id === id)?.lastUsedAt;
  };
  expect(await used()).toBeNull();
  const beforeMs = network.clock.nowMs();
  expect(await ask(token, 'mini')).toMatchObject({ status: 200 });
  expect(await used(), 'not while the caller waits').toBeNull();
  await eventually('the use is told', async () => {
    network.clock.advance(2_000);
    return (await used()) !== null;
  });
  expect(Date.parse((await used()) ?? '')).toBeGreaterThanOrEqual(Math.floor(beforeMs));
  const store = new pg.Client({ connectionString: network.databaseUrl });
  await store.connect();
  try {
    const { rows } = await store.query<{ all: string }>('select row_to_json(t)::text as all from subcloud_tokens t');
    expect(rows.length).toBeGreaterThan(4);
    for (const { all } of rows) expect(all).not.toContain(token.slice(4, 40));
  } finally {
    await store.end();
  }
});

test('tokens of the global network: where it asks for tokens, theirs open it, and nobody is locked out for good', async () => {
  const { admin } = network;
  const applyGlobal = (access: object) =>
    admin.call('applyNetwork', {
      body: { manifest: JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Network', spec: { access } }) },
    });
  const other = await network.node({ name: 'two', models: ['lab/open'], consent: {} });
  await network.serving('global', other);
  await network.principal('user:caller');
  await expect(admin.call('createToken', { params: { name: 'global' }, body: {} })).rejects.toMatchObject({
    code: 'client.invalid_request',
  });
  const body = { principal: 'user:caller' as const, models: ['lab/open'] };
  const { id, token } = await admin.call('createToken', { params: { name: 'global' }, body });
  await applyGlobal({ tokens: true });
  expect(await ask(network.apiKey, 'lab/open')).toMatchObject({ status: 404 });
  expect(await ask(token, 'lab/open')).toMatchObject({ status: 200 });
  const { items } = await admin.call('listTokens', { params: { name: 'global' }, query: {} });
  expect(items).toMatchObject([{ id, principal: 'user:caller' }]);
  await network.restartControl();
  await eventually('control is back', () => admin.call('whoami').then(() => true));
  expect(await ask(token, 'lab/open')).toMatchObject({ status: 200 });
  await admin.call('revokeToken', { params: { name: 'global', id } });
  expect(await ask(token, 'lab/open')).toMatchObject({ status: 401 });
  await applyGlobal({});
  expect(await ask(network.apiKey, 'lab/open')).toMatchObject({ status: 200 });
});

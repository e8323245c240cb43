/** Bindings through the real network: offered, accepted, in force, no way out, ended by either side. */
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';

let network: TestNetwork;
let node: TestNode;
let acme: string;
let team: string;
let owner: string;
beforeAll(async () => {
  network = await startTestNetwork();
  node = await network.node({ name: 'one', consent: { autoJoin: 'all' } });
  acme = await network.principal('org:acme');
  team = await network.principal('team:acme/ml');
  owner = await network.principal('user:owner');
  for (const name of ['home', 'other']) {
    await network.apply(manifest(name, { binding: ['org:acme'] }));
    await network.serving(name, node);
  }
  await network.serving('global', node);
});
afterAll(() => network[Symbol.asyncDispose]());

function manifest(name: string, access: object, spec: object = {}): object {
  return {
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name, owner: 'user:owner' },
    spec: { participation: { mode: 'open', autoJoin: true, cooldown: '0s' }, access, ...spec },
  };
}

async function chat(
  key: string,
  pool?: string,
): Promise<{ status: number; code: string | undefined; pool: string | null }> {
  const response = await fetch(`${network.url}${pool === undefined ? '' : `/s/${pool}`}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', messages: [] }),
  });
  const { error } = (await response.json()) as { error?: { code: string } };
  return { status: response.status, code: error?.code, pool: response.headers.get('x-subcloud') };
}

async function offered(pool: string, bound: string): Promise<string> {
  const { items } = await network.admin.call('listBindings', { query: { subcloud: pool } });
  return items.find((item) => item.bound === bound)?.id ?? '';
}

const served = (pool: string) => ({ status: 200, code: undefined, pool });

test('an offer binds nobody; a yes is for who is bound alone; then everything goes there, and there is no way out', async () => {
  const id = await offered('home', 'org:acme');
  expect(await chat(acme)).toEqual(served('global'));
  expect(await chat(acme, 'home'), 'an offer admits nobody').toMatchObject({ status: 404 });

  const accept = { params: { id } };
  await expect(network.admin.call('acceptBinding', accept)).rejects.toMatchObject({ code: 'policy.forbidden' });
  await expect(network.client(owner).call('acceptBinding', accept)).rejects.toMatchObject({ code: 'policy.forbidden' });
  const stranger = network.client(await network.principal('user:stranger'));
  await expect(stranger.call('acceptBinding', accept)).rejects.toMatchObject({ code: 'client.not_found' });
  expect((await stranger.call('listBindings', {})).items).toEqual([]);

  const { binding, withdrawal } = await network.client(acme).call('acceptBinding', accept);
  expect(binding).toMatchObject({ subcloud: 'home', bound: 'org:acme', state: 'active', changedBy: 'org:acme' });
  expect(withdrawal.complete).toBe(true);
  for (const key of [acme, team]) {
    expect(await chat(key)).toEqual(served('home'));
    expect(await chat(key, 'home')).toEqual(served('home'));
    for (const elsewhere of ['other', 'global', 'absent'])
      expect(await chat(key, elsewhere), elsewhere).toMatchObject({ status: 403, code: 'policy.bound_elsewhere' });
  }
  const { token } = await network.admin.call('createToken', {
    params: { name: 'other' },
    body: { principal: 'team:acme/ml' },
  });
  for (const pool of [undefined, 'other', 'home'])
    expect(await chat(token, pool), 'a token of another Subcloud').toMatchObject({ status: 403 });

  await expect(
    network.client(acme).call('acceptBinding', { params: { id: await offered('other', 'org:acme') } }),
  ).rejects.toMatchObject({ code: 'client.conflict' });
});

test('a bound caller whose pool is empty gets 503, and no other pool', async () => {
  await network.admin.call('removeMember', { params: { name: 'home', node: node.id } });
  const before = node.served.length;
  expect(await chat(acme)).toMatchObject({ status: 503, code: 'routing.no_eligible_node' });
  expect(node.served.length).toBe(before);
  await eventually('the removed member has drained', async () => {
    const { state } = await network.admin.call('explainNode', { params: { name: 'home', node: node.id } });
    return state === 'removed';
  });
  await network.admin.call('inviteMember', { params: { name: 'home' }, body: { node: node.id } });
  await network.serving('home', node);
});

test('the most specific binding wins', async () => {
  await network.apply(manifest('other', { binding: ['org:acme', 'team:acme/ml'] }));
  const id = await offered('other', 'team:acme/ml');
  await network.client(team).call('acceptBinding', { params: { id } });
  expect(await chat(team)).toEqual(served('other'));
  expect(await chat(acme)).toEqual(served('home'));
  await network.client(team).call('endBinding', { params: { id } });
  expect(await chat(team)).toEqual(served('home'));
});

test('one credential alone is bound by its id, and comes before its account', async () => {
  const { id, key } = await network.admin.call('createKey', { body: { principal: 'org:acme' } });
  await network.apply(manifest('other', { binding: ['org:acme', `token:${id}`] }));
  await network.client(acme).call('acceptBinding', { params: { id: await offered('other', `token:${id}`) } });
  expect(await chat(key)).toEqual(served('other'));
  expect(await chat(acme)).toEqual(served('home'));
});

test('a binding survives a restart of control, and ends with the revision that no longer lists it', async () => {
  await network.restartControl();
  await eventually('control is back', () => network.admin.call('listBindings', {}).then(() => true));
  expect(await chat(acme)).toEqual(served('home'));
  await network.apply(manifest('home', {}));
  expect(await chat(acme)).toEqual(served('global'));
  const events = await network.admin.call('listEvents', { query: { subcloud: 'home' } });
  expect(events.items.filter(({ kind }) => kind.startsWith('binding.')).map(({ kind }) => kind)).toEqual([
    'binding.ended',
    'binding.active',
    'binding.offered',
  ]);
});

test('under require: all a bound caller needs the others too', async () => {
  await network.apply(
    manifest('home', { require: 'all', binding: ['org:acme'], whitelist: { orgs: ['org:umbrella'] } }),
  );
  await network.client(acme).call('acceptBinding', { params: { id: await offered('home', 'org:acme') } });
  expect(await chat(acme)).toMatchObject({ status: 403, code: 'policy.access_denied' });
  await network.apply(manifest('home', { require: 'all', binding: ['org:acme'], whitelist: { orgs: ['org:acme'] } }));
  expect(await chat(acme)).toEqual(served('home'));
});

test('who owns the Subcloud is bound at once, and its deletion ends every binding', async () => {
  await network.apply(manifest('own', { binding: ['user:owner'] }));
  await network.serving('own', node);
  expect(await chat(owner)).toEqual(served('own'));
  await network.admin.call('deleteSubcloud', { params: { name: 'own' } });
  expect(await chat(owner)).toEqual(served('global'));
});

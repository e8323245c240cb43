/**
 * Whoever joins an organisation or team comes under its bindings and its bans. Two organisations of two founders, and
 * gateways that hear of a change late: what joining took away is gone when it was answered, as after any withdrawal.
 */
import type { Client } from '@subcloud/sdk/client';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';

/** Long enough that a change which waits for nobody is seen not to. */
const WATCH_DELAY_MS = 60;

let network: TestNetwork;
let node: TestNode;
let key: string;
let carol: Client;
const founders = new Map<string, Client>();

beforeAll(async () => {
  network = await startTestNetwork({ watchDelayMs: WATCH_DELAY_MS });
  node = await network.node({ name: 'one', consent: { autoJoin: 'all' } });
  key = await network.principal('user:carol');
  carol = network.client(key);
  await network.principal('user:owner');
  for (const [org, founder] of [
    ['acme', 'user:ann'],
    ['umbrella', 'user:bob'],
    ['outlaws', 'user:eve'],
  ] as const) {
    const client = network.client(await network.principal(founder));
    founders.set(org, client);
    await client.call('createOrg', { body: { id: org } });
  }
  await founderOf('acme').call('createTeam', { params: { org: 'acme' }, body: { id: 'ml' } });
  for (const [name, bound] of [
    ['red', ['org:acme']],
    ['blue', ['org:umbrella']],
    ['green', ['team:acme/ml']],
    ['white', ['user:carol']],
  ] as const) {
    await network.apply({
      apiVersion: 'subcloud/v1',
      kind: 'Subcloud',
      metadata: { name, owner: 'user:owner' },
      spec: { participation: { mode: 'open', autoJoin: true }, access: { binding: bound } },
    });
    await network.serving(name, node);
  }
  await network.serving('global', node);
}, 60_000);
afterAll(() => network[Symbol.asyncDispose]());

function founderOf(org: string): Client {
  const client = founders.get(org);
  if (client === undefined) throw new Error(`${org} has no founder`);
  return client;
}

/** As its own side says yes. */
async function bind(client: Client, pool: string, bound: string): Promise<string> {
  const { items } = await network.admin.call('listBindings', { query: { subcloud: pool } });
  const id = items.find((item) => item.bound === bound)?.id ?? '';
  expect((await client.call('acceptBinding', { params: { id } })).withdrawal.complete).toBe(true);
  return id;
}

async function join(org: string): Promise<void> {
  await accept(await invitation(org));
}

async function invitation(org: string): Promise<string> {
  const body = { group: `org:${org}`, principal: 'user:carol', role: 'member' } as const;
  return (await founderOf(org).call('createInvitation', { body })).id;
}

async function accept(id: string): Promise<void> {
  const { state, withdrawal } = await carol.call('acceptInvitation', { params: { id }, body: {} });
  expect([state, withdrawal.complete]).toEqual(['accepted', true]);
}

/** The pool that answers, else the status and the code of the refusal. */
async function chat(pool?: string): Promise<string> {
  const response = await fetch(`${network.url}${pool === undefined ? '' : `/s/${pool}`}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', messages: [] }),
  });
  const { error } = (await response.json()) as { error?: { code: string } };
  return error === undefined ? (response.headers.get('x-subcloud') ?? '') : `${response.status} ${error.code}`;
}

test('joining a bound organisation binds at once; two that are bound elsewhere are a conflict, and serve nowhere', async () => {
  await bind(founderOf('acme'), 'red', 'org:acme');
  await bind(founderOf('umbrella'), 'blue', 'org:umbrella');
  expect(await chat()).toBe('global');
  await join('acme');
  expect([await chat('global'), await chat()]).toEqual(['403 policy.bound_elsewhere', 'red']);

  const before = node.served.length;
  await join('umbrella');
  for (const pool of [undefined, 'red', 'blue', 'green', 'global', 'absent'])
    expect(await chat(pool), pool).toBe('403 policy.binding_conflict');
  expect(node.served.length).toBe(before);
});

test('what is more specific ends the conflict: a team first, then the account itself', async () => {
  await bind(founderOf('acme'), 'green', 'team:acme/ml');
  const role = 'member' as const;
  const params = { org: 'acme', team: 'ml', member: 'carol' };
  const { withdrawal } = await founderOf('acme').call('setTeamMember', { params, body: { role } });
  expect(withdrawal.complete).toBe(true);
  expect([await chat(), await chat('red')]).toEqual(['green', '403 policy.bound_elsewhere']);

  const id = await bind(carol, 'white', 'user:carol');
  expect([await chat(), await chat('green')]).toEqual(['white', '403 policy.bound_elsewhere']);
  await carol.call('endBinding', { params: { id } });
  await founderOf('acme').call('removeTeamMember', { params });
  expect(await chat()).toBe('403 policy.binding_conflict');
});

test('leaving one of two organisations ends the conflict, and so does the end of a binding', async () => {
  await carol.call('leaveOrg', { params: { org: 'acme' } });
  expect([await chat(), await chat('red')]).toEqual(['blue', '403 policy.bound_elsewhere']);
  await join('acme');
  expect(await chat()).toBe('403 policy.binding_conflict');
  const { items } = await network.admin.call('listBindings', { query: { subcloud: 'blue' } });
  const id = items.find(({ state }) => state === 'active')?.id ?? '';
  await founderOf('umbrella').call('endBinding', { params: { id } });
  expect([await chat(), await chat('blue')]).toEqual(['red', '403 policy.bound_elsewhere']);
});

test('whoever joins an organisation that is banned calls nothing from then on, by whichever way it joined', async () => {
  // Whoever is banned invites nobody.
  const id = await invitation('outlaws');
  const body = { kind: 'account', subject: 'org:outlaws' } as const;
  await network.admin.call('createBan', { params: { name: 'global' }, body });
  await accept(id);
  expect(await chat()).toBe('401 client.unauthenticated');

  const params = { org: 'outlaws', member: 'carol' };
  await network.admin.call('removeOrgMember', { params });
  expect(await chat()).toBe('red');
  const { withdrawal } = await network.admin.call('setOrgMember', { params, body: { role: 'member' } });
  expect(withdrawal.complete).toBe(true);
  expect(await chat()).toBe('401 client.unauthenticated');
});

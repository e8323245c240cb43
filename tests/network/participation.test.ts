/** Participation with people, both sides from the command line: ask, approve, deny, invite, accept, decline, ban, lift. */
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { attestingIn, refusal } from './attesting.ts';
import { type CommandLine, commandLine } from './run-command.ts';

let network: TestNetwork;
let node: TestNode;
let owner: CommandLine;
let operator: CommandLine;
let ownerKey: string;

beforeAll(async () => {
  network = await startTestNetwork();
  ownerKey = await network.principal('org:acme');
  owner = commandLine(network, ownerKey);
  operator = commandLine(network, await network.principal('org:hoster'));
  node = await network.node({ name: 'one', operator: 'org:hoster', consent: {} });
  await network.serving('global', node);
});
afterAll(() => network[Symbol.asyncDispose]());

async function apply(name: string, participation: object, more: object = {}): Promise<void> {
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name, owner: 'org:acme' },
    spec: { participation: { cooldown: '0s', ...participation }, ...more },
  });
}

async function standing(name: string): Promise<string> {
  const { items } = await network.admin.call('listMembers', { params: { name } });
  const member = items.find((item) => item.node === node.id);
  return member === undefined ? 'none' : `${member.state}: ${member.reason}`;
}

async function ask(pool: string, stream = false): Promise<Response> {
  return fetch(`${network.url}/s/${pool}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ownerKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', stream, messages: [{ role: 'user', content: 'hello' }] }),
  });
}

/** What came until the end, which is never a clean one where it was cut. */
async function restOf(response: Response): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  try {
    for await (const part of response.body ?? []) text += decoder.decode(part, { stream: true });
  } catch {
    text += ' and broke off';
  }
  return text;
}

test('semi-open: a node asks, its request waits in the owner’s feed, and serves once it is approved', async () => {
  await apply('club', { mode: 'semi-open' });
  expect((await operator('member', 'accept', 'club', 'one')).stdout).toContain('requested in club (approval)');
  expect(await standing('club')).toBe('requested: approval');
  const waiting = await owner.json<{ kind: string; subcloud: string; nodeName: string }[]>('inbox');
  expect(waiting).toMatchObject([{ kind: 'request', subcloud: 'club', nodeName: 'one' }]);
  expect(await owner.json('approval', 'list')).toEqual(waiting);
  expect(await operator.json('inbox')).toEqual([]);
  await owner.json('approval', 'grant', 'club', 'one');
  expect(await standing('club')).toBe('active: joined');
  expect(await owner.json('inbox')).toEqual([]);
  await network.serving('club', node);
  // The agent's own consent names nothing: its second lock opens by the operator's account, as its document says.
  expect((await ask('club')).status).toBe(200);
});

test('semi-open: a denied node stays out until it is invited', async () => {
  await apply('strict', { mode: 'semi-open' });
  await operator.json('member', 'accept', 'strict', 'one');
  await owner.json('member', 'deny', 'strict', 'one');
  expect(await standing('strict')).toBe('removed: denied by owner');
  expect((await operator('member', 'accept', 'strict', 'one')).stderr).toContain('only its owner can change that');
  await owner.json('member', 'invite', 'strict', node.id);
  expect(await standing('strict')).toBe('active: joined');
  await owner.json('member', 'remove', 'strict', 'one');
});

test('semi-open: an attested stake admits without approval, for as long as it is attested', async () => {
  const attesting = await attestingIn(network);
  await apply('staked', { mode: 'semi-open', admit: { any: [{ stake: '1000 CREDIT' }] } });
  await operator.json('member', 'accept', 'staked', 'one');
  expect(await standing('staked')).toBe('requested: approval');
  expect((await owner('member', 'approve', 'staked', 'one')).stderr).toContain('admits no node by approval');
  const little = await attesting.draft(node, 'stake', '999.9 CREDIT');
  expect(await standing('staked')).toBe('requested: approval');
  await attesting.revoke(little.claim.id);
  const enough = await attesting.draft(node, 'stake', '1000 CREDIT');
  expect(await standing('staked')).toBe('active: joined');
  await attesting.revoke(enough.claim.id);
  expect(await standing('staked')).toBe('suspended: approval');
});

test('private: an invitation waits in the operator’s feed; a no stands until the operator says yes', async () => {
  await apply('lab', { mode: 'private' });
  expect((await operator('member', 'accept', 'lab', 'one')).stderr).toContain('There is no Subcloud lab');
  await owner.json('member', 'invite', 'lab', node.id);
  expect(await operator.json('inbox')).toMatchObject([{ kind: 'invitation', subcloud: 'lab', nodeName: 'one' }]);
  await operator.json('member', 'decline', 'lab');
  expect(await standing('lab')).toBe('left: consent');
  expect(await operator.json('inbox')).toEqual([]);
  await owner.json('member', 'invite', 'lab', node.id);
  expect(await standing('lab')).toBe('left: consent');
});

test('an operator’s yes covers the isolation it was given for, and no more', async () => {
  await apply('taker', { mode: 'open' }, { isolation: 'shared' });
  await operator.json('member', 'accept', 'taker', 'one');
  expect(await standing('taker')).toBe('active: joined');
  await apply('taker', { mode: 'open' }, { isolation: 'isolate' });
  expect(await standing('taker')).toBe('left: consent');
  await network.serving('global', node);
  await operator.json('member', 'accept', 'taker', 'one');
  expect(await standing('taker')).toMatch(/^active: joined/);
  await operator.json('member', 'decline', 'taker', 'one');
});

test('a yes to a Subcloud is none to a later one of its name', async () => {
  await apply('again', { mode: 'open' });
  await operator.json('member', 'accept', 'again', 'one');
  expect(await standing('again')).toBe('active: joined');
  await owner.json('subcloud', 'delete', 'again');
  await apply('again', { mode: 'open', autoJoin: true });
  expect(await standing('again')).toBe('none');
});

test('a ban cuts what is in flight, holds against every yes, survives a restart, and can be lifted', async () => {
  await apply('banned', { mode: 'open' });
  await operator.json('member', 'accept', 'banned', 'one');
  await network.serving('banned', node);
  await node.engine.set({ kind: 'ok', chunks: 100_000, pacingMs: 20 });
  const response = await ask('banned', true);
  const rest = restOf(response);
  await eventually('it streams', () => node.engine.requests.some(({ outcome }) => outcome === 'answering'));
  const { ban } = await owner.json<{ ban: { id: string } }>('member', 'ban', 'banned', 'one', '--why', 'it lied');
  expect(await rest).toContain('upstream.withdrawn');
  await node.engine.set({ kind: 'ok' });
  await eventually('it is banned', async () => (await standing('banned')) === 'banned: banned');
  expect((await ask('banned')).status).toBe(503);
  expect(
    await refusal(
      network
        .client(ownerKey)
        .call('createBan', { params: { name: 'banned' }, body: { kind: 'node', subject: node.id } }),
    ),
  ).toMatchObject({ status: 409 });
  expect((await operator('member', 'accept', 'banned', 'one')).exitCode).toBe(1);
  await network.restartControl();
  expect(await standing('banned')).toBe('banned: banned');
  expect(await owner.json('member', 'bans', 'banned')).toMatchObject([
    { id: ban.id, reason: 'it lied', by: 'org:acme' },
  ]);
  await owner.json('member', 'unban', 'banned', 'one');
  await network.serving('banned', node);
});

test('a ban of an operator takes all its nodes out, and from `global` out of the network, new ones too', async () => {
  await apply('pool', { mode: 'open' });
  await operator.json('member', 'accept', 'pool', 'one');
  await network.serving('pool', node);
  const admin = network.admin;
  const { ban } = await admin.call('createBan', {
    params: { name: 'global' },
    body: { kind: 'operator', subject: 'org:hoster' },
  });
  await eventually('it is out of everything', async () => {
    const { pools } = await admin.call('getNode', { params: { id: node.id } });
    return pools.every(({ state }) => ['banned', 'removed', 'left'].includes(state));
  });
  expect((await ask('pool')).status).toBe(503);
  await expect(network.node({ name: 'two', operator: 'org:hoster' })).rejects.toThrow();
  await admin.call('liftBan', { params: { name: 'global', id: ban.id } });
  await network.serving('pool', node);
  await network.serving('global', node);
});

test('a banned caller: from the network with all its credentials, from a Subcloud with whatever opens it', async () => {
  const key = await network.principal('user:caller');
  const { admin } = network;
  await apply('quiet', { mode: 'open' }, { access: { tokens: true } });
  await operator.json('member', 'accept', 'quiet', 'one');
  await network.serving('quiet', node);
  const { token } = await admin.call('createToken', { params: { name: 'quiet' }, body: { principal: 'user:caller' } });
  const status = async (credential: string, path: string): Promise<number> =>
    (
      await fetch(`${network.url}${path}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }),
      })
    ).status;
  const both = async (): Promise<number[]> => [await status(key, ''), await status(token, '/s/quiet')];
  expect(await both()).toEqual([200, 200]);
  await owner.json('member', 'ban', 'quiet', 'user:caller', '--account');
  expect(await both()).toEqual([200, 403]);
  await owner.json('member', 'unban', 'quiet', 'user:caller');
  await eventually('its token opens again', async () => (await both()).every((seen) => seen === 200));
  const body = { kind: 'account', subject: 'user:caller' } as const;
  const { ban } = await admin.call('createBan', { params: { name: 'global' }, body });
  expect(await both()).toEqual([401, 401]);
  expect(await refusal(network.client(key).call('whoami'))).toMatchObject({ status: 403 });
  await network.restartControl();
  expect(await both()).toEqual([401, 401]);
  await admin.call('liftBan', { params: { name: 'global', id: ban.id } });
  // What is given back comes with the next table; nobody waits for it.
  await eventually('its credentials open again', async () => (await both()).every((seen) => seen === 200));
});

test('a caller’s ban from one Subcloud closes it by whitelist, by group and to any account, and cuts what streams there', async () => {
  const { admin } = network;
  const keys = { ann: await network.principal('user:ann'), bob: await network.principal('user:bob') };
  const ann = commandLine(network, keys.ann);
  await apply('listed', { mode: 'open' }, { access: { whitelist: { accounts: ['user:ann', 'user:bob'] } } });
  await apply('anyone', { mode: 'open' });
  for (const pool of ['listed', 'anyone']) {
    await operator.json('member', 'accept', pool, 'one');
    await network.serving(pool, node);
  }
  const asked = (pool: string, key: string, stream = false): Promise<Response> =>
    fetch(`${network.url}/s/${pool}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'test-model', stream, messages: [{ role: 'user', content: 'hello' }] }),
    });
  const status = async (pool: string, key: string): Promise<number> => (await asked(pool, key)).status;
  const seen = async (): Promise<number[][]> =>
    Promise.all(
      ['listed', 'anyone', 'global'].map((pool) => Promise.all([status(pool, keys.ann), status(pool, keys.bob)])),
    );
  expect(await seen()).toEqual([
    [200, 200],
    [200, 200],
    [200, 200],
  ]);

  await node.engine.set({ kind: 'ok', chunks: 100_000, pacingMs: 20 });
  const streams = [await asked('listed', keys.ann, true), await asked('listed', keys.bob, true)].map(restOf);
  await owner.json('member', 'ban', 'listed', 'user:ann', '--account');
  expect(await streams[0]).toContain('policy.access_denied');
  await admin.call('createBan', { params: { name: 'anyone' }, body: { kind: 'account', subject: 'user:ann' } });
  await node.engine.set({ kind: 'ok' });
  // Whoever the whitelist names may know of the pool; nobody else learns of it by being banned.
  expect(await seen()).toEqual([
    [403, 200],
    [404, 200],
    [200, 200],
  ]);
  await network.restartControl();
  expect(await seen()).toEqual([
    [403, 200],
    [404, 200],
    [200, 200],
  ]);
  await owner.json('member', 'unban', 'listed', 'user:ann');
  await owner.json('member', 'unban', 'anyone', 'user:ann');
  await eventually('it may call again', async () => (await seen()).flat().every((each) => each === 200));

  // A ban of an organisation is one of whoever joins it later, and none of whoever leaves it.
  const bob = commandLine(network, keys.bob);
  await ann.json('org', 'create', 'shady');
  await ann.json('org', 'invite', 'shady', 'user:bob');
  await admin.call('createBan', { params: { name: 'global' }, body: { kind: 'account', subject: 'org:shady' } });
  expect(await seen()).toEqual([
    [401, 200],
    [401, 200],
    [401, 200],
  ]);
  const [invitation] = await bob.json<{ id: string }[]>('invitation', 'list');
  await bob.json('invitation', 'accept', invitation?.id ?? '');
  expect((await seen()).flat()).toEqual(Array(6).fill(401));
  await network.admin.call('removeOrgMember', { params: { org: 'shady', member: 'bob' } });
  await eventually('who left is banned no more', async () => (await seen()).every(([, each]) => each === 200));
});

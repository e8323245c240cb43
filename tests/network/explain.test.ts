/** Who sees which "why": admin, owner, operator and caller, and that everybody else reads the same bytes as of nothing. */
import { ApiError } from '@subcloud/sdk/api-error';
import type { Client } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';

let network: TestNetwork;
const clients: Record<'owner' | 'operator' | 'caller' | 'stranger', Client> = {} as never;
let callerKey: string;
let member: TestNode;
let refused: TestNode;
let uninvolved: TestNode;

beforeAll(async () => {
  network = await startTestNetwork();
  callerKey = await network.principal('user:caller');
  clients.owner = network.client(await network.principal('org:acme'));
  clients.operator = network.client(await network.principal('user:operator'));
  clients.caller = network.client(callerKey);
  clients.stranger = network.client(await network.principal('org:stranger'));
  const operator = 'user:operator' as const;
  const consent = { autoJoin: 'all', isolation: 'isolate' };
  member = await network.node({ name: 'member', operator, consent, address: '127.0.1.1' });
  refused = await network.node({ name: 'refused', operator, consent, address: '127.0.3.1' });
  uninvolved = await network.node({ name: 'uninvolved', operator: 'user:other', address: '127.0.1.2' });
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'eu', owner: 'org:acme' },
    spec: {
      nodes: { location: { in: ['EU'] } },
      participation: { mode: 'open', autoJoin: true, cooldown: '1h' },
      isolation: 'isolate',
    },
  });
  await network.serving('eu', member);
  for (const node of [refused, uninvolved]) await network.serving('global', node);
});
afterAll(() => network[Symbol.asyncDispose]());

async function bytes(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => undefined,
    (fault: unknown) => fault,
  );
  if (!(error instanceof ApiError)) throw new Error(`not refused: ${String(error)}`);
  const { status, code, message, details } = error;
  return JSON.stringify({ status, code, message, details });
}

const explain = (client: Client, name: string, node: string) => client.call('explainNode', { params: { name, node } });

async function ask(key: string, subcloud?: string): Promise<{ id: string; status: number; node: string | null }> {
  const response = await fetch(`${network.url}${subcloud === undefined ? '' : `/s/${subcloud}`}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }),
  });
  await response.arrayBuffer();
  const { headers, status } = response;
  return { id: headers.get('x-request-id') ?? '', status, node: headers.get('x-subcloud-node') };
}

test('owner, operator and admin read every clause of a member with its source and issuer', async () => {
  for (const client of [network.admin, clients.owner, clients.operator]) {
    const found = await explain(client, 'eu', member.id);
    expect(found).toMatchObject({ state: 'active', eligible: true, serving: true, returnsAt: null });
    expect(found.clauses.filter(({ clause }) => clause.startsWith('nodes.'))).toMatchObject([
      { clause: 'nodes.location', pass: true, source: 'measured', issuer: 'network', fix: null },
    ]);
    expect(found.clauses[0]?.seen).toContain('DE');
  }
  // A held node is not in the global pool, and the answer says where it serves instead.
  const held = await explain(clients.operator, 'global', member.id);
  expect(held).toMatchObject({ state: null, reason: 'isolation', servesElsewhere: ['eu'] });
});

test('of a node that has nothing to do with the Subcloud its owner reads the same bytes as of one that is not there', async () => {
  const absent = await bytes(explain(clients.owner, 'eu', 'nod_0'));
  for (const node of [refused, uninvolved])
    expect((await bytes(explain(clients.owner, 'eu', node.id))).replaceAll(node.id, 'nod_0')).toBe(absent);
  // The admin reads why.
  expect(await explain(network.admin, 'eu', refused.id)).toMatchObject({ state: null, reason: 'nodes.location' });
});

test('an operator reads of own nodes only, and of Subclouds that it may know of', async () => {
  expect(await explain(clients.operator, 'eu', refused.id)).toMatchObject({ reason: 'nodes.location' });
  const absent = await bytes(explain(clients.operator, 'eu', 'nod_0'));
  expect((await bytes(explain(clients.operator, 'eu', uninvolved.id))).replaceAll(uninvolved.id, 'nod_0')).toBe(absent);
  const other = network.client(await network.principal('user:other'));
  expect((await bytes(explain(other, 'eu', uninvolved.id))).replaceAll('eu', 'no')).toBe(
    await bytes(explain(other, 'no', uninvolved.id)),
  );
});

test('callers and strangers read of a Subcloud that exists what they read of one that does not', async () => {
  for (const client of [clients.caller, clients.stranger]) {
    for (const call of [
      (name: string) => explain(client, name, member.id),
      (name: string) => client.call('explainSubcloud', { params: { name } }),
    ])
      expect((await bytes(call('eu'))).replaceAll('eu', 'no')).toBe(await bytes(call('no')));
  }
});

test('the whole fleet is counted by state and by reason for the owner and the admin', async () => {
  for (const client of [clients.owner, network.admin]) {
    const found = await client.call('explainSubcloud', { params: { name: 'eu' } });
    expect(found).toMatchObject({ considered: 3, byState: { active: 1 }, models: { 'test-model': 1 } });
    expect(found.byReason).toEqual({ 'nodes.location': 1, consent: 1 });
  }
});

test('the caller of a request reads counts and pseudonyms, the owner and the admin which node was not taken for what', async () => {
  const { id, status, node } = await ask(callerKey, 'eu');
  expect(status).toBe(200);
  const read = (client: Client) =>
    eventually('the record has come', () => client.call('getRequest', { params: { id } }));
  const asCaller = await read(clients.caller);
  expect(asCaller).toMatchObject({ pool: 'eu', poolBy: 'path', revision: 1, candidates: 1, nodes: null });
  expect(asCaller.attempts.map((attempt) => attempt.node)).toEqual([node]);
  const text = JSON.stringify(asCaller);
  for (const secret of [member, refused, uninvolved]) expect(text).not.toContain(secret.id);
  expect(text).not.toContain('nodes.location');

  for (const client of [clients.owner, network.admin]) {
    const full = await read(client);
    expect(full.attempts.map((attempt) => attempt.node)).toEqual([member.id]);
    const nodes = (full.nodes ?? []).map(({ nodeName, part, reason, asOf }) => ({ nodeName, part, reason, asOf }));
    expect(nodes).toContainEqual({ nodeName: 'member', part: 'tried', reason: 'answered', asOf: 'then' });
    expect(nodes.find(({ nodeName }) => nodeName === 'refused')).toMatchObject({
      part: 'excluded',
      reason: 'nodes.location',
    });
    expect(full.nodes?.find(({ nodeName }) => nodeName === 'refused')?.failing).toMatchObject([
      { clause: 'nodes.location' },
    ]);
  }
  const absent = await bytes(clients.stranger.call('getRequest', { params: { id: 'req_0' } }));
  for (const client of [clients.stranger, clients.operator])
    expect((await bytes(client.call('getRequest', { params: { id } }))).replaceAll(id, 'req_0')).toBe(absent);
});

test('what is known only of now is labelled so', async () => {
  const { id } = await ask(callerKey, 'eu');
  await eventually('the record has come', () => network.admin.call('getRequest', { params: { id } }));
  const newcomer = await network.node({
    name: 'newcomer',
    operator: 'user:operator',
    address: '127.0.1.7',
    consent: { autoJoin: 'all', isolation: 'isolate' },
  });
  await network.serving('eu', newcomer);
  const { nodes } = await network.admin.call('getRequest', { params: { id } });
  const asOf = Object.fromEntries((nodes ?? []).map(({ nodeName, asOf: when }) => [nodeName, when]));
  expect(asOf).toMatchObject({ member: 'then', newcomer: 'now', refused: 'now' });
});

test('a suspended node that passes again says when its cooldown ends', async () => {
  await member.stop();
  await member.start('127.0.3.2');
  await eventually('it is suspended', async () => {
    const { state, reason } = await explain(clients.owner, 'eu', member.id);
    return state === 'suspended' && reason === 'nodes.location';
  });
  await member.stop();
  await member.start('127.0.1.1');
  const found = await eventually('it cools down', async () => {
    const now = await explain(clients.owner, 'eu', member.id);
    return now.returnsAt === null ? undefined : now;
  });
  expect(found).toMatchObject({ state: 'suspended', reason: 'cooldown', eligible: true, serving: false });
  expect(Date.parse(found.returnsAt ?? '') - Date.parse(found.at)).toBeGreaterThan(3_500_000);
});

/** The event stream through the public port: order, resuming, who sees what, and that nothing is held back on the way. */
import { connect } from 'node:net';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandLine } from '../network/run-command.ts';
import { type Following, follow } from './following.ts';

let network: TestNetwork;
beforeAll(async () => {
  network = await startTestNetwork();
}, 60_000);
afterAll(() => network[Symbol.asyncDispose]());

let count = 0;
const unique = (prefix: string): string => `${prefix}-${(count += 1)}`;
const manifest = (name: string, owner: string, spec: object = {}): object => ({
  apiVersion: 'subcloud/v1',
  kind: 'Subcloud',
  metadata: { name, owner },
  spec,
});
const kinds = ({ events }: Following): string[] => events.map(({ kind }) => kind);
const sees = (following: Following, ...wanted: string[]): Promise<unknown> =>
  eventually(`${wanted.join(', ')} come`, () => {
    if (following.events.length < wanted.length) throw new Error(kinds(following).join());
    expect(kinds(following)).toEqual(wanted);
    return true;
  });
const token = async (name: string): Promise<string> =>
  (await network.admin.call('createToken', { params: { name }, body: {} })).id;

test('what happens comes at once, in order, and a list has the same under the same ids', async () => {
  await using all = await follow(network.admin);
  const name = unique('ordered');
  await network.apply(manifest(name, 'user:admin'));
  const id = await token(name);
  await network.admin.call('revokeToken', { params: { name, id } });
  await network.admin.call('deleteSubcloud', { params: { name } });
  await sees(all, 'subcloud.created', 'token.created', 'token.revoked', 'subcloud.deleted');
  const { items } = await network.admin.call('listEvents', { query: { limit: 4 } });
  expect(items.toReversed()).toEqual(all.events);
  const one = await network.admin.call('listEvents', { query: { kind: 'token', limit: 1 } });
  expect(one.items.map(({ kind }) => kind)).toEqual(['token.revoked']);
});

test('through restarts of control nothing is missed and nothing comes twice', async () => {
  const name = unique('restarted');
  await network.apply(manifest(name, 'user:admin'));
  await using following = await follow(network.admin, { subcloud: name });
  const wanted: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    const ids = await Promise.all([token(name), token(name), token(name)]);
    wanted.push(...ids);
    // One more is written while the stream is down.
    await network.restartControl();
    wanted.push(await eventually('control answers', () => token(name).catch(() => undefined)));
  }
  await eventually('all have come', () => following.events.length >= wanted.length);
  const told = following.events.map(({ detail }) => (detail as { id: string }).id);
  expect([...told].sort()).toEqual([...wanted].sort());
  expect(following.breaks.length).toBeGreaterThanOrEqual(3);
}, 60_000);

test('everybody sees what is theirs: the owner what was deleted too, the operator its own node, a stranger nothing', async () => {
  const owner = network.client(await network.principal('user:owner'));
  const operator = network.client(await network.principal('user:operator'));
  const stranger = network.client(await network.principal('user:stranger'));
  const name = unique('theirs');
  const node = await network.node({ name: unique('node'), operator: 'user:operator' });
  await using asOwner = await follow(owner);
  await using asOperator = await follow(operator, { kind: 'membership', node: node.id });
  await using asStranger = await follow(stranger);
  await network.apply(manifest(name, 'user:owner'));
  await owner.call('inviteMember', { params: { name }, body: { node: node.id } });
  await operator.call('acceptMember', { params: { name, node: node.id }, body: {} });
  await network.serving(name, node);
  await owner.call('deleteSubcloud', { params: { name } });
  await eventually('the owner hears of it all', () => asOwner.events.length >= 5);
  const told = asOwner.events.slice(0, 5);
  expect(told.map(({ kind, actor }) => [kind, actor])).toEqual([
    ['subcloud.created', 'admin'],
    ['membership.invited', 'user:owner'],
    // Who of the other side it was is nobody's business.
    ['membership.accepted', null],
    ['membership.active', 'reconciler'],
    ['subcloud.deleted', 'user:owner'],
  ]);
  await eventually('the operator hears of its node', () => asOperator.events.length >= 3);
  const ofThisOne = asOperator.events.filter(({ subcloud }) => subcloud === name).map(({ kind }) => kind);
  expect(ofThisOne.slice(0, 3)).toEqual(['membership.invited', 'membership.accepted', 'membership.active']);
  expect(asStranger.events).toEqual([]);
  // Its own key was made before it followed.
  expect((await stranger.call('listEvents', {})).items.map(({ kind }) => kind)).toEqual(['key.created']);
  await expect(follow(stranger, { subcloud: 'global' })).rejects.toMatchObject({ code: 'client.not_found' });
}, 60_000);

test('whoever loses access loses the stream, or what it saw of it, before the next event', async () => {
  const name = unique('lost');
  const { id, key } = await network.admin.call('createKey', { body: { principal: 'user:admin' } });
  await using revoked = await follow(network.client(key));
  const delegate = network.client(await network.principal('user:delegate'));
  await network.apply(manifest(name, 'user:admin'));
  await network.admin.call('putDelegates', { params: { name }, body: { delegates: ['user:delegate'] } });
  await using filtered = await follow(delegate, { subcloud: name });
  await token(name);
  await sees(filtered, 'token.created');
  await eventually('the key sees it too', () => kinds(revoked).includes('token.created'));
  await using all = await follow(network.admin, { subcloud: name });
  await network.admin.call('putDelegates', { params: { name }, body: { delegates: [] } });
  await network.admin.call('revokeKey', { params: { id } });
  expect(await revoked.ended).toMatchObject({ code: 'client.unauthenticated' });
  await token(name);
  // Streams of one process are given an event at the same time.
  await eventually('it has come to who may see it', () => kinds(all).at(-1) === 'token.created');
  await network.admin.call('putDelegates', { params: { name }, body: { delegates: ['user:delegate'] } });
  await token(name);
  await sees(filtered, 'token.created', 'subcloud.delegated', 'token.created');
  expect(kinds(all)).toEqual(['subcloud.delegated', 'token.created', 'subcloud.delegated', 'token.created']);
  expect(kinds(revoked).filter((kind) => kind === 'token.created')).toHaveLength(1);
}, 60_000);

test('an account has so many streams and no more, and a place that is none is refused', async () => {
  const client = network.client(await network.principal('user:many'));
  const open: Following[] = [];
  for (let stream = 0; stream < 8; stream += 1) open.push(await follow(client));
  const refused = await raw('user:many');
  expect(refused.head).toContain('HTTP/1.1 429');
  expect(await refused.text('capacity.too_many_streams')).toContain('retry');
  await Promise.all(open.map((each) => each.stop()));
  await eventually('there is room again', async () => {
    await using again = await follow(client);
    return again.breaks.length === 0;
  });
  await expect(follow(client, { after: 'AAAAAAAAAAAAAAAAAAAAAA' })).rejects.toMatchObject({
    code: 'client.invalid_request',
  });
}, 60_000);

test('quiet streams say so, and with it where they are', async () => {
  const stream = await raw('user:admin');
  await stream.text('id: ');
  network.clock.advance(15_000);
  const text = await stream.text(': quiet');
  const places = [...text.matchAll(/^id: (\S+)$/gm)].map(([, id]) => id);
  expect(new Set(places).size).toBe(places.length);
  stream.close();
});

test('by command line: what was, and what comes', async () => {
  const name = unique('told');
  const run = commandLine(network, network.apiKey);
  await network.apply(manifest(name, 'user:admin'));
  await token(name);
  const events = await run.json<{ kind: string }[]>('events', '--subcloud', name);
  expect(events.map(({ kind }) => kind)).toEqual(['subcloud.created', 'token.created']);
  const { stdout } = await run('events', '--subcloud', name, '--kind', 'token');
  expect(stdout).toContain('token.created');
  expect(stdout).not.toContain('subcloud.created');
  expect((await run('events', '--subcloud', 'not-there')).stderr).toContain('There is no Subcloud');
});

/** The bytes as they come, over a plain socket. */
async function raw(principal: `user:${string}`) {
  const key = await network.principal(principal);
  const { hostname, port } = new URL(network.url);
  const socket = connect(Number(port), hostname);
  let received = '';
  socket.on('data', (data: Buffer) => (received += data.toString()));
  socket.on('error', () => undefined);
  socket.write(
    `GET /api/v1/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nauthorization: Bearer ${key}\r\n\r\n`,
  );
  const text = (part: string): Promise<string> =>
    eventually(`${part} comes`, () => (received.includes(part) ? received : undefined));
  await text('\r\n\r\n');
  return {
    head: received.slice(0, received.indexOf('\r\n\r\n')),
    text,
    close: () => socket.destroy(),
  };
}

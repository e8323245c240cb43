import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { LINK_HEADERS } from '@subcloud/contract/link';
import { rowKey } from '@subcloud/contract/table';
import { certifySigningKey, generateSigningKey, signDocument } from '@subcloud/kit/signing';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { startPeerNode } from '@subcloud/testkit/peer-node';
import { type TestGateway, answers, memberRow, nodeRow, startTestGateway } from '@subcloud/testkit/test-gateway';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

/** Carries bytes both ways until it is cut; then nothing passes, and neither end hears of it. */
async function startCable(to: number): Promise<AsyncDisposable & { readonly url: string; cut(): void }> {
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    for (const socket of [near, far]) sockets.push(socket.on('error', () => {}));
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => sockets.forEach((socket) => socket.unpipe().pause()),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const dial = (t: TestGateway, id: string, key = generateSigningKey(), more: object = {}) =>
  startPeerNode({ url: t.gateway.url, id, key, ...more });

describe('who may link', () => {
  test('a node that the table knows, whose key signed this very handshake', async () => {
    await using t = await startTestGateway();
    const node = await t.node({ fingerprint: t.control.networkKey.fingerprint });
    expect(await node.linked).toBe('welcome');
    expect(t.gateway.links()).toBe(1);
  });

  test('not a stranger, not with another key, not with a signature by another key', async () => {
    await using t = await startTestGateway();
    const key = generateSigningKey();
    await t.publish([nodeRow('nod_known', key.publicKey)]);
    expect(await (await dial(t, 'nod_known')).linked).toBe('policy.node_refused');
    expect(await (await dial(t, 'nod_known', key, { signsWith: generateSigningKey() })).linked).toBe(
      'policy.node_refused',
    );
    const peer = await dial(t, 'nod_known', key);
    expect(await peer.linked).toBe('welcome');
    peer.close();
  });

  test('a node just enrolled is waited for, and an unknown one is not waited for long', async () => {
    using clock = controllableClock();
    await using t = await startTestGateway({ clock });
    const key = generateSigningKey();
    const early = await dial(t, 'nod_early', key);
    const never = await dial(t, 'nod_never');
    await eventually('both said hello', () => early.session.remoteSettings !== undefined);
    await t.publish([nodeRow('nod_early', key.publicKey)]);
    expect(await early.linked).toBe('welcome');
    clock.advance(3_000);
    expect(await never.linked).toBe('policy.node_refused');
    early.close();
  });

  test('who says no hello is let go', async () => {
    using clock = controllableClock();
    await using t = await startTestGateway({ clock });
    const mute = await dial(t, 'nod_mute', undefined, { greets: false });
    await eventually('the report stream is open', () => mute.session.remoteSettings !== undefined);
    clock.advance(10_000);
    await mute.closed;
    expect(t.gateway.links()).toBe(0);
  });

  test.each([
    [{ [LINK_HEADERS.version]: '99' }, 426],
    [{ [LINK_HEADERS.agentNonce]: 'short' }, 400],
    [{ [LINK_HEADERS.node]: '../etc' }, 400],
    [{ upgrade: 'websocket' }, 404],
  ])('an upgrade that asks for something else is told so: %j', async (headers, status) => {
    await using t = await startTestGateway();
    const { request, answer } = t.open({
      path: '/link',
      method: 'GET',
      headers: {
        connection: 'Upgrade',
        upgrade: 'subcloud-link',
        [LINK_HEADERS.version]: '1',
        [LINK_HEADERS.node]: 'nod_a',
        [LINK_HEADERS.agentNonce]: 'n'.repeat(43),
        ...headers,
      },
    });
    expect((await answer).statusCode).toBe(status);
    request.destroy();
  });
});

test('one address cannot take every place at the door', async () => {
  await using t = await startTestGateway();
  const mute = await Promise.all(
    Array.from({ length: 64 }, () => dial(t, 'nod_mute', undefined, { greets: false, localAddress: '127.0.0.3' })),
  );
  await eventually('all are at the door', () => mute.every(({ session }) => session.remoteSettings !== undefined));
  expect(await (await dial(t, 'nod_mute', undefined, { localAddress: '127.0.0.3' })).linked).toBe(
    'capacity.overloaded',
  );
  expect(await (await t.node({ localAddress: '127.0.0.4' })).linked).toBe('welcome');
  for (const peer of mute) peer.close();
  await Promise.all(mute.map(({ closed }) => closed));
  expect(await (await t.node({ localAddress: '127.0.0.3' })).linked).toBe('welcome');
});

describe('one link a node', () => {
  test('a second is refused while the first answers', async () => {
    await using t = await startTestGateway();
    const first = await t.node({});
    const second = await dial(t, first.id, first.key);
    expect(await second.linked).toBe('client.conflict');
    expect((await t.call()).status).toBe(200);
    expect(first.requests).toHaveLength(1);
  });

  test('a second takes over where the first no longer answers', async () => {
    using clock = controllableClock();
    await using t = await startTestGateway({ clock });
    await using cable = await startCable(t.gateway.port);
    const key = generateSigningKey();
    await t.publish([nodeRow('nod_a', key.publicKey), memberRow('global', 'nod_a')]);
    const first = await startPeerNode({ url: cable.url, id: 'nod_a', key });
    expect(await first.linked).toBe('welcome');
    cable.cut();
    const second = await dial(t, 'nod_a', key, { handler: answers() });
    const waits = Symbol('waits');
    const early = await Promise.race([second.linked, new Promise((resolve) => setTimeout(resolve, 200, waits))]);
    expect(early).toBe(waits);
    clock.advance(2_000);
    expect(await second.linked).toBe('welcome');
    expect((await t.call()).status).toBe(200);
    expect(second.requests).toHaveLength(1);
    second.close();
  });

  test('nobody keeps a node out by dialling in its name', async () => {
    await using t = await startTestGateway();
    const key = generateSigningKey();
    await t.publish([nodeRow('nod_victim', key.publicKey)]);
    const impostors = await Promise.all(Array.from({ length: 10 }, () => dial(t, 'nod_victim')));
    const victim = await dial(t, 'nod_victim', key);
    expect(await victim.linked).toBe('welcome');
    for (const impostor of impostors) impostor.close();
    victim.close();
  });
});

describe('the end of a link', () => {
  test('a socket that goes is out of every pick at once', async () => {
    await using t = await startTestGateway();
    const node = await t.node({});
    node.close();
    await eventually('it is gone', () => t.gateway.links() === 0);
    expect((await t.call()).text).toContain('1 offline');
  });

  test('missed heartbeats end a link although its socket stands', async () => {
    using clock = controllableClock();
    await using t = await startTestGateway({ clock });
    const node = await t.node({});
    node.say = () => {};
    clock.advance(14_000);
    expect(t.gateway.links()).toBe(1);
    clock.advance(2_000);
    expect((await t.call()).text).toContain('1 offline');
    await node.closed;
  });

  test('a node that leaves the table loses its link, and what it was answering ends visibly', async () => {
    await using t = await startTestGateway();
    const node = await t.node({
      handler: (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
        stream.write('data: {"choices":[]}\n\n');
      },
    });
    const calling = t.call({ body: { model: 'test-model', stream: true } });
    await eventually('it is under way', () => node.requests.length === 1);
    await t.publish([
      [memberRow('global', node.id)[0], null],
      [rowKey.node(node.id), null],
    ]);
    await node.closed;
    expect((await calling).text).toContain('"error"');
    expect(await (await dial(t, node.id, node.key)).linked).toBe('policy.node_refused');
  }, 15_000);

  test('another key under the same id ends the link of the old one', async () => {
    await using t = await startTestGateway();
    const node = await t.node({});
    await t.publish([nodeRow(node.id, generateSigningKey().publicKey)]);
    await node.closed;
    expect(t.gateway.links()).toBe(0);
  });

  test('a draining node gets nothing new', async () => {
    await using t = await startTestGateway();
    const node = await t.node({});
    node.say({ type: 'draining' });
    await eventually('it is not picked', async () => (await t.call()).status === 503);
  });
});

describe('what a node is told', () => {
  test('its newest document, the time with each heartbeat, and nothing older than it has', async () => {
    await using t = await startTestGateway();
    const node = await t.node({ serial: 3 });
    const document = (serial: number) => ({
      node: node.id,
      epoch: 1,
      serial,
      document: signDocument(t.control.signingKey, 'declaration', {} as never),
    });
    await t.publish([[rowKey.document(node.id), document(3)]]);
    await t.publish([[rowKey.document(node.id), document(4)]]);
    await eventually('the document', () => node.heard.some(({ type }) => type === 'document'));
    node.say({ type: 'heartbeat', inFlight: 0 });
    await eventually('the time', () => node.heard.some(({ type }) => type === 'time'));
    expect(node.heard.filter(({ type }) => type === 'document')).toHaveLength(1);
    expect(node.heard[0]?.type).toBe('welcome');
  });
});

test('no bytes after the upgrade bring the gateway down', async () => {
  await using t = await startTestGateway();
  const node = await t.node({});
  const url = new URL(t.gateway.url);
  const head = [
    'GET /link HTTP/1.1',
    `host: ${url.host}`,
    'connection: Upgrade',
    'upgrade: subcloud-link',
    `${LINK_HEADERS.version}: 1`,
    `${LINK_HEADERS.node}: nod_x`,
    `${LINK_HEADERS.agentNonce}: ${'n'.repeat(43)}`,
    '\r\n',
  ].join('\r\n');
  const SETTINGS = Uint8Array.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.constant(SETTINGS),
        fc.uint8Array({ maxLength: 60 }).map((more) => Uint8Array.from([...SETTINGS, ...more])),
      ),
      fc.constantFrom('with', 'after', 'reset'),
      async (bytes, when) => {
        await new Promise<void>((resolve) => {
          const socket = connect(Number(url.port), url.hostname, () => {
            socket.write(when === 'with' ? Buffer.concat([Buffer.from(head), bytes]) : head);
            if (when === 'reset') socket.resetAndDestroy();
          });
          socket.once('data', () => {
            if (when === 'after') socket.write(bytes);
            socket.end();
          });
          socket.on('error', () => {});
          socket.on('close', () => resolve());
          socket.setTimeout(1_000, () => socket.destroy());
        });
      },
    ),
    { numRuns: 100 },
  );
  expect((await t.call()).status).toBe(200);
  expect(node.requests).toHaveLength(1);
});

test('links that are refused at once, with bytes after the upgrade, do not bring the gateway down', async () => {
  await using t = await startTestGateway();
  const { hostname, port, host } = new URL(t.gateway.url);
  const lines = [
    'GET /link HTTP/1.1',
    `host: ${host}`,
    'connection: Upgrade',
    'upgrade: subcloud-link',
    `${LINK_HEADERS.version}: 1`,
    `${LINK_HEADERS.node}: nod_x`,
    `${LINK_HEADERS.agentNonce}: ${'n'.repeat(43)}`,
  ];
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  // More from one address than may be in a handshake at once; none says hello.
  const sockets = Array.from({ length: 80 }, () => connect(Number(port), hostname));
  const ended = sockets.map((socket) => new Promise((resolve) => socket.on('close', resolve).on('error', () => {})));
  for (const socket of sockets)
    socket.resume().write(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), settings]));
  await Promise.race(ended);
  for (const socket of sockets) socket.destroy();
  await Promise.all(ended);
  expect((await fetch(`${t.gateway.url}/healthz`)).status).toBe(200);
});

test('a chain with a new signing key, before a document that this key signed', async () => {
  await using t = await startTestGateway();
  const node = await t.node({});
  const { networkId, networkKey, signingKeys } = t.control.chain;
  const next = certifySigningKey(t.control.networkKey, { networkId, publicKey: generateSigningKey().publicKey }, 1);
  const chain = { networkId, networkKey, signingKeys: [...signingKeys, next] };
  const document = signDocument(t.control.signingKey, 'declaration', {} as never);
  await t.publish([
    [rowKey.document(node.id), { node: node.id, epoch: 1, serial: 1, document }],
    [rowKey.network(), { networkId, chain }],
  ]);
  await eventually('both', () => node.heard.some(({ type }) => type === 'document'));
  const told = node.heard.filter(({ type }) => type === 'chain' || type === 'document');
  expect(told).toEqual([
    { type: 'chain', chain },
    { type: 'document', document },
  ]);
  // The same again is nothing new.
  await t.publish([[rowKey.network(), { networkId, chain }]]);
  await t.publish([[rowKey.document(node.id), { node: node.id, epoch: 1, serial: 2, document }]]);
  await eventually('the next document', () => node.heard.filter(({ type }) => type === 'document').length === 2);
  expect(node.heard.filter(({ type }) => type === 'chain')).toHaveLength(1);
});

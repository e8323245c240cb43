/** The port behind proxies, over real sockets: 127.0.0.9 is the proxy, every other address is anybody. */
import { type IncomingMessage, request } from 'node:http';
import { type Socket, connect } from 'node:net';
import { startPeerNode } from '@subcloud/testkit/peer-node';
import { startTcpProxy } from '@subcloud/testkit/tcp-proxy';
import {
  type TestGateway,
  codeOf,
  credentialRow,
  memberRow,
  nodeRow,
  readReply,
  startTestGateway,
} from '@subcloud/testkit/test-gateway';
import { generateSigningKey } from '@subcloud/kit/signing';
import { eventually } from '@subcloud/testkit/eventually';
import { expect, test } from 'vitest';

const PROXY = '127.0.0.9';

const start = (): Promise<TestGateway> => startTestGateway({ config: { behindProxy: `${PROXY}/32` } });

/** One plain request from `localAddress`; rejects where the gateway closes. */
async function plain(
  t: TestGateway,
  localAddress: string,
  headers: Record<string, string | string[]> = {},
  path = '/api/v1/x',
) {
  const asking = request({ port: t.gateway.port, localAddress, path, agent: false, headers });
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    asking.on('response', resolve);
    asking.on('error', reject);
  });
  asking.end();
  return readReply(await answer);
}

function seenAddress(t: TestGateway): unknown {
  return t.control.apiRequests.at(-1)?.headers['x-subcloud-client-address'];
}

test('a caller behind a proxy that ends TLS has the address that the proxy appended, and no other header says otherwise', async () => {
  await using t = await start();
  const forwarded = { 'x-forwarded-for': '6.6.6.6, 198.51.100.7', 'x-real-ip': '6.6.6.6', forwarded: 'for=6.6.6.6' };
  expect((await plain(t, PROXY, forwarded)).status).toBe(200);
  expect(seenAddress(t)).toBe('198.51.100.7');
  const { headers } = t.control.apiRequests.at(-1) ?? {};
  for (const name of ['x-forwarded-for', 'x-real-ip', 'forwarded']) expect(headers).not.toHaveProperty(name);
  // Of two lines of the header, the last word is still the proxy's.
  expect((await plain(t, PROXY, { 'x-forwarded-for': ['6.6.6.6', '198.51.100.8'] })).status).toBe(200);
  expect(seenAddress(t)).toBe('198.51.100.8');
});

test('a proxy that says nothing is answered about its health and nothing else', async () => {
  await using t = await start();
  for (const path of ['/api/v1/x', '/v1/models', '/', '/link/identity?nonce=x'])
    expect(codeOf(await plain(t, PROXY, {}, path))).toBe('config.client_address_unknown');
  expect(codeOf(await plain(t, PROXY, { 'x-forwarded-for': 'unknown' }))).toBe('config.client_address_unknown');
  expect((await plain(t, PROXY, {}, '/healthz')).status).toBe(200);
  expect((await plain(t, PROXY, {}, '/readyz')).status).toBe(200);
  expect(t.control.apiRequests).toEqual([]);
});

test('everybody else speaks TLS, and what they say of their address is ignored', async () => {
  await using t = await start();
  await expect(plain(t, '127.0.0.1', { 'x-forwarded-for': '198.51.100.7' })).rejects.toThrow();
  expect(t.gateway.url).toMatch(/^https:/);
  const reply = await t.call({ path: '/api/v1/x', headers: { 'x-forwarded-for': '198.51.100.7' } });
  expect([reply.status, seenAddress(t)]).toEqual([200, '127.0.0.1']);
  // A PROXY header from anybody is no TLS.
  const socket = connect({ port: t.gateway.port, host: '127.0.0.1', localAddress: '127.0.0.1' });
  socket.on('error', () => {});
  socket.write('PROXY TCP4 198.51.100.7 127.0.0.1 1 2\r\n');
  await ended(socket);
  const to = { host: '127.0.0.1', port: t.gateway.port };
  await using spoofing = await startTcpProxy({ to, preface: () => line('198.51.100.7') });
  await expect(startPeerNode({ url: `https://127.0.0.1:${spoofing.port}`, id: 'nod_a' })).rejects.toThrow();
});

const line = (address: string): Buffer => Buffer.from(`PROXY TCP4 ${address} 127.0.0.1 4000 7700\r\n`);
function binary(address: string): Buffer {
  const head = Buffer.from('0d0a0d0a000d0a515549540a2111000c', 'hex');
  return Buffer.concat([
    head,
    Buffer.from(address.split('.').map(Number)),
    Buffer.from([127, 0, 0, 1, 15, 160, 30, 20]),
  ]);
}

test.each([
  ['version 1', line],
  ['version 2', binary],
])(
  'TLS that a proxy passes through carries the address by PROXY protocol, %s, for nodes and callers',
  async (_name, header) => {
    await using t = await start();
    const to = { host: '127.0.0.1', port: t.gateway.port };
    await using proxy = await startTcpProxy({ to, localAddress: PROXY, preface: () => header('203.0.113.5') });
    const key = generateSigningKey();
    const id = 'nod_proxied';
    await t.publish([nodeRow(id, key.publicKey, { measuredAddress: '203.0.113.5' }), memberRow('global', id)]);
    const peer = await startPeerNode({ url: `https://127.0.0.1:${proxy.port}`, id, key });
    expect(await peer.linked).toBe('welcome');
    const linked = await eventually('control hears of the link', () =>
      t.control.reports.flatMap(({ events }) => events).find((event) => event.type === 'linked'),
    );
    expect(linked).toMatchObject({ node: id, address: '203.0.113.5' });
    peer.close();
    // Through the same proxy a caller cannot name itself by a header.
    const reply = await t.call({
      url: `https://127.0.0.1:${proxy.port}`,
      path: '/api/v1/x',
      headers: { 'x-forwarded-for': '6.6.6.6' },
    });
    expect([reply.status, seenAddress(t)]).toEqual([200, '203.0.113.5']);
  },
);

test('a link that comes from a proxy without PROXY protocol, or without TLS, is refused', async () => {
  await using t = await start();
  const to = { host: '127.0.0.1', port: t.gateway.port };
  await using silent = await startTcpProxy({ to, localAddress: PROXY });
  await expect(startPeerNode({ url: `https://127.0.0.1:${silent.port}`, id: 'nod_a' })).rejects.toThrow(/with 400/);
  await using ending = await startTcpProxy({ to, localAddress: PROXY, preface: () => line('203.0.113.5') });
  await expect(startPeerNode({ url: `http://127.0.0.1:${ending.port}`, id: 'nod_a' })).rejects.toThrow(/with 400/);
});

test('a malformed or unfinished PROXY header closes the connection, and a header of nobody is answered about health only', async () => {
  await using t = await start();
  const ask = 'GET /api/v1/x HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 1.2.3.4\r\n\r\n';
  for (const first of ['PROXY TCP4 999.1.1.1 1.1.1.1 1 2\r\n', 'PROXY \r\n', `PROXY ${'a'.repeat(300)}`]) {
    const socket = fromProxy(t);
    socket.write(first);
    socket.write(ask);
    await ended(socket);
  }
  const nobody = fromProxy(t);
  nobody.write(`PROXY UNKNOWN\r\n${ask}`);
  expect(await firstText(nobody)).toContain('config.client_address_unknown');
  nobody.destroy();
  expect(t.control.apiRequests).toEqual([]);
});

test('a PROXY header and a request that come byte by byte are read as if they came at once', async () => {
  await using t = await start();
  const socket = fromProxy(t);
  socket.setNoDelay(true);
  const text = 'PROXY TCP4 198.51.100.9 127.0.0.1 1 2\r\nGET /api/v1/x HTTP/1.1\r\nhost: x\r\n\r\n';
  for (const char of text) {
    socket.write(char);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await firstText(socket)).toMatch(/^HTTP\/1\.1 200/);
  expect(seenAddress(t)).toBe('198.51.100.9');
  // The connection goes on as the same caller's.
  socket.write('GET /api/v1/y HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 9.9.9.9\r\n\r\n');
  await eventually('the second request is there', () => t.control.apiRequests.length === 2);
  expect(seenAddress(t)).toBe('198.51.100.9');
  socket.destroy();
});

test('inference through a proxy that ends TLS works, streams included', async () => {
  await using t = await start();
  await t.publish([credentialRow('sck_proxied')]);
  await t.node({});
  for (const stream of [false, true]) {
    const reply = await t.call({
      url: `http://127.0.0.1:${t.gateway.port}`,
      localAddress: PROXY,
      headers: { 'x-forwarded-for': '198.51.100.7' },
      body: { model: 'test-model', messages: [], stream },
    });
    expect([reply.status, reply.broken]).toEqual([200, false]);
  }
});

function fromProxy(t: TestGateway): Socket {
  const socket = connect({ port: t.gateway.port, host: '127.0.0.1', localAddress: PROXY });
  socket.on('error', () => {});
  return socket;
}

function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    socket.once('close', () => resolve());
    socket.resume();
  });
}

function firstText(socket: Socket): Promise<string> {
  return new Promise((resolve) => socket.once('data', (data: Buffer) => resolve(data.toString())));
}

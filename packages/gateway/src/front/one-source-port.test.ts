/** Where a worker has a port of its own besides the shared one, a proxy may use one source port towards both at once. */
import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { type TLSSocket, connect as secure, createServer as createTls } from 'node:tls';
import { systemClock } from '@subcloud/kit/clock';
import { makeTlsCertificate } from '@subcloud/kit/tls-certificate';
import { expect, test } from 'vitest';
import { nodeAddress } from './client-address.ts';
import { createProxiedServer } from './proxied-server.ts';
import { trustedProxies } from './trusted-proxies.ts';

const PROXY = '127.0.0.9';

test('two connections from one source port to two local ports are told apart', async () => {
  const { certificate, privateKey } = makeTlsCertificate(['localhost'], Date.now());
  const http = createHttp((request, response) => response.end(nodeAddress(request.socket)));
  const tls = createTls({ cert: certificate, key: privateKey });
  const proxied = createProxiedServer({ http, tls, proxies: trustedProxies(`${PROXY}/32`), clock: systemClock });
  const ports = [createServer(), createServer()].map((server) =>
    server.on('connection', (socket) => proxied.outer.emit('connection', socket)).listen(0, '127.0.0.1'),
  );
  const sockets: Socket[] = [];
  let localPort = 0;
  for (const server of ports) {
    if (!server.listening) await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const socket = connect({ host: '127.0.0.1', port, localAddress: PROXY, localPort });
    await once(socket, 'connect');
    ({ localPort = 0 } = socket);
    sockets.push(socket);
  }
  expect(new Set(sockets.map((socket) => socket.localPort)).size).toBe(1);
  const secured = sockets.map((socket, index): TLSSocket => {
    socket.write(`PROXY TCP4 198.51.100.${index} 127.0.0.1 4000 7700\r\n`);
    return secure({ socket, rejectUnauthorized: false });
  });
  const told = await Promise.all(
    secured.map(async (socket) => {
      await once(socket, 'secureConnect');
      socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
      const parts: Buffer[] = [];
      for await (const part of socket) parts.push(part as Buffer);
      return Buffer.concat(parts)
        .toString()
        .split(/\r\n/)
        .find((text) => text.startsWith('198.'));
    }),
  );
  expect(told).toEqual(['198.51.100.0', '198.51.100.1']);
  for (const server of ports) server.close();
  proxied.closeAllConnections();
});

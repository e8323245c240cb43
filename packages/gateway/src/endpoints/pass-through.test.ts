import { mkdtempSync, rmSync } from 'node:fs';
import { type RequestListener, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { codeOf, startTestGateway } from '@subcloud/testkit/test-gateway';
import { expect, test } from 'vitest';
import { belongsToControl, passThrough } from './pass-through.ts';
import { socketTransport } from '../watch/control-transport.ts';

test('pages and API pass to control with the credential, and with the address that the gateway saw', async () => {
  await using t = await startTestGateway();
  const reply = await t.call({
    path: '/api/v1/subclouds?limit=3',
    body: 'hello',
    headers: {
      'x-subcloud-client-address': '9.9.9.9',
      connection: 'x-hop',
      'x-hop': '1',
      te: 'trailers',
      'proxy-authorization': 'Basic x',
      'idempotency-key': 'k',
    },
  });
  expect([reply.status, reply.text, reply.headers['x-from']]).toEqual([200, 'hello', 'control']);
  const [seen] = t.control.apiRequests;
  expect(seen).toMatchObject({ method: 'POST', url: '/api/v1/subclouds?limit=3' });
  expect(seen?.headers).toMatchObject({
    authorization: `Bearer ${t.key}`,
    'x-subcloud-client-address': '127.0.0.1',
    'idempotency-key': 'k',
  });
  for (const name of ['x-hop', 'te', 'proxy-authorization']) expect(seen?.headers).not.toHaveProperty(name);
});

test.each([
  ['/', true],
  ['/docs', true],
  ['/docs/swagger.css', true],
  ['/api/v1/nodes', true],
  ['/api', false],
  ['/apix', false],
  ['/internal/v1/watch', false],
  ['/api/../internal/v1/watch', false],
  ['/api/%2e%2e/internal/v1/watch', false],
  ['/api/%2E./internal', false],
  ['/api//internal', false],
  ['/api/.', false],
  ['/docs/..', false],
  ['/api\\..\\internal', false],
  ['/api/a%2Fb', false],
])('%s belongs to control: %s', (path, expected) => expect(belongsToControl(path)).toBe(expected));

test('without control its pages are 503, and inference goes on', async () => {
  await using t = await startTestGateway();
  await t.node({});
  await t.control[Symbol.asyncDispose]();
  expect(codeOf(await t.call({ path: '/api/v1/nodes', method: 'GET' }))).toBe('platform.control_unavailable');
  expect((await t.call()).status).toBe(200);
});

test.each([
  ['/nothing', 'GET', 'client.not_found'],
  ['/v1/engines', 'GET', 'client.not_found'],
  ['/v1/chat/completions/', 'POST', 'client.not_found'],
  ['/v1//chat/completions', 'POST', 'client.not_found'],
  ['/v1/chat/%63ompletions', 'POST', 'client.not_found'],
  ['/s/eu/../v1/chat/completions', 'POST', 'client.not_found'],
  ['/v1/chat/completions', 'GET', 'client.method_not_allowed'],
  ['/v1/models', 'POST', 'client.method_not_allowed'],
])('%s by %s reaches no engine: %s', async (path, method, code) => {
  await using t = await startTestGateway();
  const node = await t.node({});
  expect(codeOf(await t.call({ path, method }))).toBe(code);
  expect(node.requests).toEqual([]);
});

test('an answer before the end of a body arrives whole, and the next request is not read as the rest of that body', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pass-'));
  const socketPath = join(folder, 'api.sock');
  const control = await listening(
    (incoming, response) => {
      if (incoming.url === '/api/refused') response.writeHead(413).end('too large');
      else incoming.pipe(response);
    },
    { path: socketPath },
  );
  const transport = socketTransport(folder);
  const { pass } = passThrough(transport);
  const gateway = await listening(pass, { host: '127.0.0.1', port: 0 });
  const { port } = gateway.address() as AddressInfo;
  const send = async (path: string, body: string, length: number): Promise<readonly [number | undefined, string]> => {
    const sent = request({ port, path, method: 'POST', headers: { 'content-length': length } });
    sent.on('error', () => undefined);
    sent.write(body);
    if (body.length === length) sent.end();
    const answer = await new Promise<Parameters<RequestListener>[0]>((resolve) => sent.once('response', resolve));
    return [answer.statusCode, await text(answer)];
  };
  try {
    for (const body of ['first', 'second', 'third']) {
      expect(await send('/api/refused', 'only so much', 100_000)).toEqual([413, 'too large']);
      expect(await send('/api/echo', body, body.length)).toEqual([200, body]);
    }
  } finally {
    transport.close();
    for (const server of [gateway, control]) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(folder, { recursive: true });
  }
});

async function listening(
  listener: RequestListener,
  where: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<ReturnType<typeof createServer>> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(where, resolve));
  return server;
}

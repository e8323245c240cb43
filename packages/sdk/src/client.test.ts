import { type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AppError, toEnvelope } from '@subcloud/contract/errors';
import { afterEach, expect, test } from 'vitest';
import { ApiError, ConnectionError } from './api-error.ts';
import { createClient } from './client.ts';
import { eachItem, listAll } from './pages.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

const open: Server[] = [];
afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A server that answers by `answer` and remembers what it was asked. */
async function listen(answer: (seen: Seen, response: ServerResponse) => void): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const one = { method, url, headers, body: Buffer.concat(parts).toString() };
      seen.push(one);
      answer(one, response);
    });
  });
  open.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'req_1' });
  response.end(JSON.stringify(value));
}

const withdrawal = { complete: true, tableVersion: 3, outstanding: [] };

test('a call is the route: method, path with encoded parameters, credential, body', async () => {
  const { url, seen } = await listen((one, response) =>
    one.method === 'DELETE'
      ? json(response, withdrawal)
      : json(response, { id: 'org:acme', createdAt: '2026-01-01T00:00:00Z' }, 201),
  );
  const client = createClient({ url: `${url}/`, credential: 'secret' });
  expect(await client.call('revokeToken', { params: { name: 'eu-only', id: 'a/../b' } })).toEqual(withdrawal);
  await client.call('createPrincipal', { body: { id: 'org:acme' } });
  expect(seen.map(({ method, url: path, body }) => [method, path, body])).toEqual([
    ['DELETE', '/api/v1/subclouds/eu-only/tokens/a%2F..%2Fb', ''],
    ['POST', '/api/v1/principals', '{"id":"org:acme"}'],
  ]);
  expect(seen[1]?.headers).toMatchObject({ authorization: 'Bearer secret', 'content-type': 'application/json' });
  await client.close();
});

test('an input that the route does not take is refused before anything is sent', async () => {
  const { url, seen } = await listen((_, response) => json(response, withdrawal));
  const client = createClient({ url });
  await expect(client.call('removeNode', { params: { id: '../admin' } })).rejects.toThrow(TypeError);
  await expect(client.call('createPrincipal', { body: { id: 'nobody' } })).rejects.toThrow('must be user:ID');
  expect(seen).toEqual([]);
  await client.close();
});

test('an error envelope becomes an ApiError with code, status, details, advice and request id', async () => {
  const refused = new AppError('config.invalid_manifest', { message: 'two faults', details: [{ line: 3 }] });
  const { url } = await listen((_, response) => json(response, toEnvelope(refused), 422));
  const client = createClient({ url });
  const error = await client.call('whoami').catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({
    code: 'config.invalid_manifest',
    status: 422,
    message: 'two faults',
    details: [{ line: 3 }],
    requestId: 'req_1',
    advice: expect.stringContaining('Correct'),
  });
  await client.close();
});

test.each([
  ['an answer of another shape', (response: ServerResponse) => json(response, { principal: 'user:a' })],
  ['an answer that is not JSON', (response: ServerResponse) => response.writeHead(200).end('<html>')],
  ['an error that is no envelope', (response: ServerResponse) => response.writeHead(502).end('bad gateway')],
  ['a redirect', (response: ServerResponse) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
  ['too many bytes', (response: ServerResponse) => json(response, { pad: 'x'.repeat(5_000) })],
])('%s is not believed', async (_, answer) => {
  const { url, seen } = await listen((__, response) => answer(response));
  const client = createClient({ url, maxResponseBytes: 4_000 });
  const error = await client.call('whoami').catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConnectionError);
  expect(error).toMatchObject({ fault: 'unexpected_answer' });
  expect(seen).toHaveLength(1);
  await client.close();
});

test('nobody there, no answer in time and a call that is called off are told apart', async () => {
  const { url } = await listen(() => undefined);
  const silent = createClient({ url, timeoutMs: 50 });
  await expect(silent.call('whoami')).rejects.toMatchObject({ name: 'ConnectionError', fault: 'timeout' });
  const off = new AbortController();
  off.abort(new Error('no longer wanted'));
  await expect(silent.call('whoami', {}, { signal: off.signal })).rejects.not.toBeInstanceOf(ConnectionError);
  await silent.close();
  const nobody = createClient({ url: 'http://127.0.0.1:1' });
  await expect(nobody.call('whoami')).rejects.toMatchObject({ fault: 'unreachable' });
  await nobody.close();
});

test('a list is followed page by page, to its end and no further', async () => {
  const at = '2026-01-01T00:00:00Z';
  const { url, seen } = await listen(({ url: path }, response) => {
    const cursor = Number(new URL(path, 'http://x').searchParams.get('cursor') ?? 0);
    json(response, { items: [{ id: `user:u${cursor}`, createdAt: at }], next: cursor < 2 ? String(cursor + 1) : null });
  });
  const client = createClient({ url });
  expect((await listAll(client, 'listPrincipals', { query: { limit: 1 } })).map(({ id }) => id)).toEqual([
    'user:u0',
    'user:u1',
    'user:u2',
  ]);
  expect(seen.map(({ url: path }) => path)).toEqual([
    '/api/v1/principals?limit=1',
    '/api/v1/principals?cursor=1&limit=1',
    '/api/v1/principals?cursor=2&limit=1',
  ]);
  for await (const _ of eachItem(client, 'listPrincipals')) break;
  expect(seen).toHaveLength(4);
  await client.close();
});

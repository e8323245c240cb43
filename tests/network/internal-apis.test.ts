/** Internal APIs that members host, over the whole network: who reaches what, and what an API sees of a request. */
import { type IncomingMessage, type Server, type ServerResponse, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

let network: TestNetwork;
let api: Server;
let url: string;
const seen: Seen[] = [];
let answer: (request: IncomingMessage, response: ServerResponse) => void;
const answers: typeof answer = (_request, response) => {
  response.writeHead(201, { 'content-type': 'application/json', 'set-cookie': 'a=b', 'x-secret': 'yes' });
  response.end('{"found":3}');
};

beforeAll(async () => {
  answer = answers;
  api = createServer((incoming, response) => {
    const parts: Buffer[] = [];
    incoming.on('error', () => {});
    response.on('error', () => {});
    incoming.on('data', (part: Buffer) => parts.push(part));
    incoming.on('end', () => {
      const { method = '', url: path = '', headers } = incoming;
      seen.push({ method, url: path, headers, body: Buffer.concat(parts).toString() });
      answer(incoming, response);
    });
  });
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(api.address() as AddressInfo).port}/base/`;
  network = await startTestNetwork();
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'lab', owner: 'user:admin' },
    spec: {
      models: { allow: [{ id: 'nobody/has-it' }] },
      participation: { mode: 'open', autoJoin: true },
      access: { tokens: true },
      apis: [{ name: 'rag', methods: ['GET', 'POST'], paths: ['/search', '/documents/*'] }],
    },
  });
  const host = await network.node({
    name: 'host',
    models: ['some/model'],
    apis: [{ name: 'rag', url }],
    consent: { autoJoin: 'all' },
  });
  await network.serving('lab', host);
  await network.serving('global', host);
});
afterAll(async () => {
  await network[Symbol.asyncDispose]();
  await new Promise((resolve) => api.close(resolve));
});

interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  readonly broken: boolean;
}

/** Paths go out as they are: no URL parser tidies them. */
function call(
  path: string,
  options: { method?: string; key: string; body?: string; headers?: object },
): Promise<Reply> {
  const { hostname, port } = new URL(network.url);
  const { method = 'GET', key, body, headers } = options;
  return new Promise((resolve, reject) => {
    const asking = request(
      { hostname, port, path, method, agent: false, headers: { ...headers, authorization: `Bearer ${key}` } },
      (response) => {
        let text = '';
        let broken = false;
        response.setEncoding('utf8');
        response.on('data', (part: string) => (text += part));
        response.on('error', () => (broken = true));
        response.on('close', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            broken: broken || !response.complete,
          }),
        );
      },
    );
    asking.on('error', reject);
    asking.end(body);
  });
}
const codeOf = ({ text }: Reply): string => (JSON.parse(text) as { error: { code: string } }).error.code;
const token = async (more: object = {}): Promise<string> =>
  (await network.admin.call('createToken', { params: { name: 'lab' }, body: more })).token;

test('method, path, query, body and answer pass; of headers the listed ones, both ways', async () => {
  const key = await token();
  seen.length = 0;
  const reply = await call('/s/lab/apis/rag/documents/a%20b?q=1&r=%C3%A9', {
    method: 'POST',
    key,
    body: '{"q":"foxes"}',
    headers: { 'content-type': 'application/json', cookie: 'c=d', 'x-forwarded-for': '1.2.3.4', accept: '*/*' },
  });
  expect([reply.status, reply.text, reply.broken]).toEqual([201, '{"found":3}', false]);
  expect(reply.headers).toMatchObject({ 'content-security-policy': 'sandbox', 'x-subcloud': 'lab' });
  expect(reply.headers['set-cookie'] ?? reply.headers['x-secret']).toBeUndefined();
  expect(seen).toMatchObject([{ method: 'POST', url: '/base/documents/a%20b?q=1&r=%C3%A9', body: '{"q":"foxes"}' }]);
  expect(Object.keys(seen[0]?.headers ?? {}).sort()).toEqual(
    ['accept', 'connection', 'content-length', 'content-type', 'host'].sort(),
  );
  const id = String(reply.headers['x-request-id']);
  const record = await eventually('its record', () =>
    network.admin.call('getRequest', { params: { id } }).catch(() => undefined),
  );
  expect(record).toMatchObject({ model: 'api:rag', pool: 'lab', outcome: 'answered', status: 201 });
  expect(record.attempts).toHaveLength(1);
  expect(JSON.stringify(record)).not.toContain('foxes');
});

test('what is not declared is not there, and nothing of it reaches the API', async () => {
  const key = await token();
  seen.length = 0;
  for (const path of [
    '/s/lab/apis/rag',
    '/s/lab/apis/rag/',
    '/s/lab/apis/rag/admin',
    '/s/lab/apis/other/search',
    '/s/lab/apis/rag/documents/../search',
    '/s/lab/apis/rag/documents/%2e%2e',
    '/s/lab/apis/rag/documents/a%2fb',
    '/s/lab/apis/rag/documents//x',
    '/s/lab/apis/rag/documents/a%5cb',
    '/s/lab/apis/../v1/models',
    '/s/lab/apis%2frag/search',
    '/apis/rag/search',
    '/s/global/apis/rag/search',
  ]) {
    const reply = await call(path, { key });
    expect([path, reply.status >= 400 && reply.status < 500]).toEqual([path, true]);
  }
  const wrong = await call('/s/lab/apis/rag/search', { method: 'DELETE', key });
  expect([wrong.status, codeOf(wrong)]).toEqual([405, 'client.method_not_allowed']);
  expect(seen).toEqual([]);
});

describe('who may', () => {
  const search = (key: string) => call('/s/lab/apis/rag/search', { key });

  test('a token, by its scope; an account that has none gets what an unknown Subcloud gives', async () => {
    expect((await search(await token({ scopes: ['apis'] }))).status).toBe(201);
    expect(codeOf(await search(await token({ scopes: ['chat'] })))).toBe('policy.forbidden');
    expect(codeOf(await search(await token({ models: ['some/*'] })))).toBe('policy.forbidden');
    const stranger = await network.principal('user:stranger');
    const here = await search(stranger);
    const nowhere = await call('/s/nowhere/apis/rag/search', { key: stranger });
    expect([here.status, here.text]).toEqual([nowhere.status, nowhere.text]);
  });

  test('limits count it', async () => {
    const key = await token({ limits: { requestsPerMinute: 2 } });
    const statuses = [];
    for (let round = 0; round < 3; round += 1) statuses.push((await search(key)).status);
    expect(statuses).toEqual([201, 201, 429]);
  });

  test('it is no model: not in the list, not for chat, and not in other pools', async () => {
    const key = await token();
    const listed = await call('/s/lab/v1/models', { key });
    expect(listed.text).not.toContain('api:');
    const chat = await call('/s/lab/v1/chat/completions', {
      method: 'POST',
      key,
      body: JSON.stringify({ model: 'api:rag', messages: [] }),
      headers: { 'content-type': 'application/json' },
    });
    expect(codeOf(chat)).toBe('routing.unknown_model');
    expect((await call('/v1/models', { key: network.apiKey })).text).not.toContain('api:');
  });
});

test('an answer streams as it comes, its end is its own, and one that breaks is not taken for whole', async () => {
  const key = await token();
  const more: (() => void)[] = [];
  answer = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.write('one');
    more.push(() => response.end('two'));
    more.push(() => response.destroy());
  };
  const { hostname, port } = new URL(network.url);
  const head = { authorization: `Bearer ${key}` };
  const first = await new Promise<string>((resolve, reject) => {
    request({ hostname, port, path: '/s/lab/apis/rag/search', headers: head, agent: false }, (response) => {
      response.setEncoding('utf8');
      let text = '';
      response.on('data', (part: string) => {
        text += part;
        if (text === 'one') more[0]?.();
      });
      response.on('end', () => resolve(text));
    })
      .on('error', reject)
      .end();
  });
  expect(first).toBe('onetwo');
  more.length = 0;
  const cut = call('/s/lab/apis/rag/search', { key });
  await eventually('it has begun', () => more.length === 2);
  more[1]?.();
  expect(await cut).toMatchObject({ status: 200, broken: true });
  answer = answers;
});

test('an API is asked once, whatever happens to it; one that is away is a clear 502', async () => {
  const key = await token();
  seen.length = 0;
  answer = (incoming) => incoming.socket.destroy();
  const died = await call('/s/lab/apis/rag/search', { method: 'POST', key, body: 'x' });
  expect([died.status, codeOf(died), seen.length]).toEqual([502, 'upstream.failed', 1]);
  const read = await call('/s/lab/apis/rag/search', { key });
  expect([read.status, seen.length]).toEqual([502, 2]);
  answer = answers;
});

/** Pools stay apart, and so do callers and engines: what a caller sends cannot reach another model, another path or another pool. */
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';

let network: TestNetwork;
let node: TestNode;
let ownerKey: string;
let strangerKey: string;
let token: string;

beforeAll(async () => {
  network = await startTestNetwork();
  ownerKey = await network.principal('user:owner');
  strangerKey = await network.principal('user:stranger');
  node = await network.node({
    name: 'engine',
    models: ['allowed', 'other'],
    operator: 'user:owner',
    consent: { join: ['closed'] },
  });
  await network.serving('global', node);
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'closed', owner: 'user:owner' },
    spec: { models: { allow: [{ id: 'allowed' }] }, access: { tokens: true } },
  });
  await network.admin.call('inviteMember', { params: { name: 'closed' }, body: { node: node.id } });
  await network.serving('closed', node);
  token = (await network.admin.call('createToken', { params: { name: 'closed' }, body: {} })).token;
});
afterAll(() => network[Symbol.asyncDispose]());

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

/** Bytes as given: no client library that corrects what a hostile caller would not. */
function send(options: {
  path?: string;
  method?: string;
  body?: string;
  headers?: Record<string, string | string[]>;
  key?: string;
}): Promise<Answer> {
  const { hostname, port } = new URL(network.url);
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      authorization: `Bearer ${options.key ?? token}`,
      ...options.headers,
    };
    const call = request(
      { hostname, port, path: options.path ?? '/v1/chat/completions', method: options.method ?? 'POST', headers },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      },
    );
    call.on('error', reject);
    if (options.method === 'GET') return void call.end();
    const body = options.body ?? JSON.stringify({ model: 'allowed', messages: [{ role: 'user', content: 'hello' }] });
    // Node gives the body of a DELETE no length by itself: it would come as bytes behind the request.
    if (!call.hasHeader('transfer-encoding')) call.setHeader('content-length', Buffer.byteLength(body));
    call.end(body);
  });
}
const code = (answer: Answer): unknown => (JSON.parse(answer.body) as { error: { code: unknown } }).error.code;

describe('a body that engines could read in two ways is refused', () => {
  test.each([
    ['{"model":"allowed","MODEL":"other","messages":[]}'],
    ['{"model":"allowed","Model":"other","messages":[]}'],
    ['{"model":"allowed","model":"other","messages":[]}'],
    ['{"model":"allowed","\\u006dodel":"other","messages":[]}'],
    ['{"model":"allowed","\\u004dodel":"other","messages":[]}'],
    ['{"MODEL":"other","messages":[]}'],
    ['{"model":"allowed","stream":false,"STREAM":true,"messages":[]}'],
  ])('%s', async (body) => {
    const before = node.engine.requests.length;
    const answer = await send({ body });
    expect(answer.status).toBe(400);
    expect(code(answer)).toBe('client.ambiguous_body');
    expect(node.engine.requests.length).toBe(before);
  });

  test('and a model below the top level decides nothing', async () => {
    const body = '{"model":"allowed","metadata":{"model":"other","MODEL":"x"},"messages":[]}';
    expect((await send({ body })).status).toBe(200);
    expect(node.engine.requests.at(-1)?.model).toBe('allowed');
  });
});

test('a model that the pool does not allow is not served there, though the node has it', async () => {
  const before = node.engine.requests.length;
  const answer = await send({ body: '{"model":"other","messages":[]}' });
  expect(answer.status).toBe(404);
  expect(node.engine.requests.length).toBe(before);
  expect((await send({ body: '{"model":"other","messages":[]}', key: ownerKey })).status, 'global has it').toBe(200);
});

test("the caller's credentials and cookies never reach an engine, nor an engine's cookies a caller", async () => {
  const answer = await send({
    headers: {
      cookie: 'session=canary-cookie',
      'x-api-key': 'canary-key',
      'x-forwarded-for': '203.0.113.9',
      forwarded: 'for=203.0.113.9',
      'x-custom': 'canary-custom',
      'openai-organization': 'canary-org',
    },
  });
  expect(answer.status).toBe(200);
  const seen = node.engine.requests.at(-1)?.headers ?? {};
  expect(JSON.stringify(seen)).not.toMatch(/canary|203\.0\.113|sct_|sck_/);
  expect(Object.keys(seen).sort()).toEqual(
    ['accept', 'connection', 'content-length', 'content-type', 'host'].filter((name) => name in seen),
  );
  for (const name of ['set-cookie', 'location', 'server', 'access-control-allow-origin', 'x-powered-by'])
    expect(answer.headers[name], name).toBeUndefined();
  expect(answer.headers['content-security-policy']).toBe('sandbox');
  expect(answer.headers['x-content-type-options']).toBe('nosniff');
});

describe("a caller's path cannot reach what an engine has besides inference", () => {
  test.each([
    '/api/delete',
    '/admin',
    '/v1/chat/completions/../../admin',
    '/v1/chat/completions/%2e%2e/%2e%2e/admin',
    '/v1/chat/completions%2f..%2f..%2fadmin',
    '/v1//chat/completions',
    '/v1/chat/completions/',
    '/v1/chat/completions;admin',
    '/V1/chat/completions',
    '/s/closed/admin',
    '/s/closed/v1/../admin',
    '/s/closed/../admin',
    '/s/../v1/chat/completions',
    '/s/closed/s/closed/v1/chat/completions',
    '//admin',
    '/subcloud/report',
    '/internal/v1/watch',
    '/api/../internal/v1/watch',
    '/api/v1/../../internal/v1/acknowledge',
  ])('%s', async (path) => {
    const before = node.engine.requests.length;
    for (const method of ['POST', 'GET', 'DELETE']) {
      const answer = await send({ path, method });
      expect(answer.status, `${method} ${path}`).toBeGreaterThanOrEqual(400);
      expect(answer.status, `${method} ${path}`).toBeLessThan(500);
    }
    expect(node.engine.requests.length).toBe(before);
  });
});

describe('who may not know of a pool gets the same bytes as for one that does not exist', () => {
  const stripped = (answer: Answer): string => {
    const { date: _, 'x-request-id': id, ...headers } = answer.headers;
    expect(String(id)).toMatch(/^req_/);
    return JSON.stringify({ status: answer.status, headers, body: answer.body.replaceAll('closed', 'absent') });
  };
  test.each(['path', 'header'] as const)('named by %s', async (by) => {
    const ask = (name: string): Promise<Answer> =>
      send({
        key: strangerKey,
        ...(by === 'path' ? { path: `/s/${name}/v1/chat/completions` } : { headers: { 'x-subcloud': name } }),
      });
    const hidden = await ask('closed');
    expect(hidden.status).toBe(404);
    expect(stripped(hidden)).toBe(stripped(await ask('absent')));
    const listed = await send({ key: strangerKey, method: 'GET', path: '/s/closed/v1/models' });
    expect(stripped(listed)).toBe(
      stripped(await send({ key: strangerKey, method: 'GET', path: '/s/absent/v1/models' })),
    );
  });

  test('its owner, without a token, is told that the access is what is missing', async () => {
    const answer = await send({ key: ownerKey, path: '/s/closed/v1/chat/completions' });
    expect(answer.status).toBe(403);
    expect(code(answer)).toBe('policy.access_denied');
  });

  test('the control API hides what a stranger may not know, with the same bytes', async () => {
    const ask = (path: string): Promise<Answer> => send({ key: strangerKey, method: 'GET', path });
    for (const suffix of ['', '/members', '/explain', '/tokens', '/revisions', `/explain/${node.id}`]) {
      const hidden = await ask(`/api/v1/subclouds/closed${suffix}`);
      expect(hidden.status, suffix).toBe(404);
      expect(stripped(hidden), suffix).toBe(stripped(await ask(`/api/v1/subclouds/absent${suffix}`)));
    }
    const foreign = await ask(`/api/v1/nodes/${node.id}`);
    expect(foreign.status).toBe(404);
    expect(foreign.body.replaceAll(node.id, 'nod_0')).toBe((await ask('/api/v1/nodes/nod_0')).body);
  });
});

test('a body that the control API does not take is refused with its limit, however large it is', async () => {
  for (const bytes of [70_000, 600_000, 3_000_000]) {
    const body = JSON.stringify({ id: 'x'.repeat(bytes) });
    const answer = await send({ path: '/api/v1/principals', body, key: ownerKey });
    expect(answer.status, `${bytes} bytes`).toBe(413);
    expect(code(answer)).toBe('client.too_large');
  }
});

describe('pools by path, header and token', () => {
  test.each([
    [
      'two names that differ',
      { path: '/s/closed/v1/chat/completions', headers: { 'x-subcloud': 'absent' } },
      400,
      'client.conflicting_pools',
    ],
    ['the header twice', { headers: { 'x-subcloud': ['closed', 'closed'] } }, 400, undefined],
    ['another pool than the token opens', { headers: { 'x-subcloud': 'global' } }, 404, 'client.not_found'],
    ['no credential', { key: '' }, 401, 'client.unauthenticated'],
    ['a credential that nobody issued', { key: 'sk-wrong' }, 401, 'client.unauthenticated'],
  ] as const)('%s', async (_, options, status, wanted) => {
    const answer = await send(options as Parameters<typeof send>[0]);
    expect(answer.status).toBe(status);
    if (wanted !== undefined) expect(code(answer)).toBe(wanted);
  });

  test('a Subcloud token alone opens its Subcloud, and the answer says so', async () => {
    const answer = await send({});
    expect(answer.status).toBe(200);
    expect(answer.headers['x-subcloud']).toBe('closed');
    expect(answer.headers['x-subcloud-revision']).toBe('1');
  });
});

/**
 * The corners of HTTP and JSON that OpenAI's API stands on. What a caller writes reaches an engine byte for byte, and
 * what cannot be taken is refused with a status and an id, on a connection that tells the truth about itself.
 */
import { type Socket, connect } from 'node:net';
import { once } from 'node:events';
import { MAX_BODY_BYTES } from '@subcloud/contract/inference';
import { newSecret } from '@subcloud/kit/secrets';
import { eventually } from '@subcloud/testkit/eventually';
import type { PeerNode } from '@subcloud/testkit/peer-node';
import {
  type CallOptions,
  MODEL,
  type Reply,
  type TestGateway,
  codeOf,
  credentialRow,
  memberRow,
  poolRow,
  startTestGateway,
} from '@subcloud/testkit/test-gateway';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const SLASHED = 'org/model.v1:latest';
let gateway: TestGateway;
let node: PeerNode;

beforeAll(async () => {
  gateway = await startTestGateway();
  node = await gateway.node({ models: [MODEL, SLASHED] });
});
afterAll(() => gateway[Symbol.asyncDispose]());

const atNode = (): PeerNode['requests'][number] => {
  const last = node.requests.at(-1);
  if (last === undefined) throw new Error('nothing came');
  return last;
};

describe('a body', () => {
  /** JSON as people and programs write it: numbers that no double holds, escapes, space, members twice below the top. */
  const awkward = fc.letrec<{ value: string }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom('9007199254740993', '-0', '1e400', '0.1000000000000000055511151231257827', 'null', 'true'),
      fc.constantFrom('"\\u0000"', '"\\ud83d\\ude00"', '"é\u2028"', '"\\/"', '""'),
      fc.array(tie('value'), { maxLength: 3 }).map((items) => `[ ${items.join('\t, ')} ]`),
      tie('value').map((value) => `{"a":${value},"a" : ${value} }`),
    ),
  })).value;
  const members = fc.array(
    fc.tuple(fc.constantFrom('vendor_field', 'logit_bias', 'seed', 'metadata', 'Ä', 'messages'), awkward),
    { maxLength: 5 },
  );
  const once = (list: readonly (readonly [string, string])[]): readonly (readonly [string, string])[] => [
    ...new Map(list),
  ];

  test('reaches the engine byte for byte, whatever it has in it', async () => {
    await fc.assert(
      fc.asyncProperty(members, fc.boolean(), async (list, stream) => {
        const written = once(list).map(([key, value]) => ` "${key}" :${value}`);
        const text = `{"model":"${MODEL}"${stream ? ',"stream":true' : ''}${written.map((one) => `,${one}`).join('\n')}}`;
        const reply = await gateway.call({ body: text });
        expect(reply.status).toBe(200);
        // Of a stream the usage is asked for; nothing else is touched.
        expect(atNode().body.toString().replace('"stream_options":{"include_usage":true},', '')).toBe(text);
      }),
      { numRuns: 60 },
    );
  });

  test('of the largest size passes, one byte more is refused, with and without a length', async () => {
    const head = `{"model":"${MODEL}","pad":"`;
    const filled = (bytes: number): Buffer => Buffer.from(`${head}${'x'.repeat(bytes - head.length - 2)}"}`);
    const { length } = await gateway.call({ body: filled(MAX_BODY_BYTES) }).then(({ status }) => {
      expect(status).toBe(200);
      return atNode().body;
    });
    expect(length).toBe(MAX_BODY_BYTES);
    const chunked = { 'content-length': [], 'transfer-encoding': 'chunked' };
    for (const headers of [{}, chunked]) {
      const reply = await refused({ body: filled(MAX_BODY_BYTES + 1), headers });
      expect([reply.status, codeOf(reply)]).toEqual([413, 'client.too_large']);
    }
  });

  test.each([
    ['gzip', { 'content-encoding': 'gzip' }, 415],
    ['another charset', { 'content-type': 'application/json; charset=latin1' }, 415],
    ['no JSON', { 'content-type': 'text/plain' }, 415],
    ['UTF-8 by name', { 'content-type': 'application/json; charset=UTF-8' }, 200],
    ['identity', { 'content-encoding': 'identity' }, 200],
  ])('in a form that is %s', async (_form, headers, status) => {
    const reply = await (status === 200 ? gateway.call({ headers }) : refused({ headers }));
    expect(reply.status).toBe(status);
    if (status !== 200) expect(codeOf(reply)).toBe('client.unsupported_media_type');
  });

  test.each([
    ['a byte order mark', Buffer.from(`\ufeff{"model":"${MODEL}"}`)],
    [
      'bytes that are no UTF-8',
      Buffer.concat([Buffer.from(`{"model":"${MODEL}","x":"`), Buffer.from([0xff, 0x22, 0x7d])]),
    ],
    ['two documents', Buffer.from(`{"model":"${MODEL}"}{}`)],
    ['nothing', Buffer.alloc(0)],
  ])('with %s is no JSON object', async (_what, body) => {
    const reply = await refused({ body });
    expect([reply.status, codeOf(reply)]).toEqual([400, 'client.invalid_body']);
  });
});

/** A refusal, which has an id and JSON whatever it is for, and did not reach the node. */
async function refused(call: CallOptions): Promise<Reply> {
  const before = node.requests.length;
  const reply = await gateway.call(call);
  expect(reply.headers['x-request-id']).toMatch(/^req_/);
  expect(reply.headers['content-type']).toBe('application/json; charset=utf-8');
  expect(node.requests.length).toBe(before);
  return reply;
}

describe('headers', () => {
  test("of OpenAI's client (organisation, project, what it runs on) stay at the gateway", async () => {
    const headers = {
      'openai-organization': 'org-1',
      'openai-project': 'proj-1',
      'openai-beta': 'assistants=v2',
      'user-agent': 'OpenAI/JS 7',
      'x-stainless-retry-count': '1',
      'idempotency-key': 'k',
    };
    expect((await gateway.call({ headers })).status).toBe(200);
    for (const name of Object.keys(headers)) expect(atNode().headers).not.toHaveProperty(name);
  });

  test('that name no pool change nothing when they stand twice; the one that does is refused', async () => {
    expect((await gateway.call({ headers: { 'x-request-id': ['a', 'b'], accept: ['a/b', 'c/d'] } })).status).toBe(200);
    const reply = await refused({ headers: { 'x-subcloud': ['global', 'global'] } });
    expect(codeOf(reply)).toBe('client.conflicting_pools');
  });

  test('that are too large end the request, not the gateway', async () => {
    const reply = await gateway.call({ headers: { 'x-pad': 'x'.repeat(40_000) } });
    expect([reply.status, codeOf(reply)]).toEqual([431, 'client.headers_too_large']);
  });
});

describe('methods', () => {
  test.each([
    ['GET', '/v1/chat/completions', 'POST'],
    ['OPTIONS', '/v1/chat/completions', 'POST'],
    ['DELETE', '/v1/embeddings', 'POST'],
    ['OPTIONS', '/v1/models', 'GET, HEAD'],
    ['DELETE', `/v1/models/${MODEL}`, 'GET, HEAD'],
    ['POST', '/s/global/v1/models', 'GET, HEAD'],
  ])(
    '%s %s is a 405 that names those there are, and no page of another origin may read it',
    async (method, path, allow) => {
      const reply = await refused({ method, path, headers: { origin: 'https://elsewhere.example' } });
      expect([reply.status, reply.headers.allow]).toEqual([405, allow]);
      expect(Object.keys(reply.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    },
  );

  test('HEAD asks for the same as GET, without its body', async () => {
    const [whole, head] = await Promise.all(
      ['GET', 'HEAD'].map((method) => gateway.call({ method, path: '/v1/models' })),
    );
    expect([head?.status, head?.headers['content-length'], head?.text]).toEqual([
      200,
      whole?.headers['content-length'],
      '',
    ]);
  });

  test.each(['/v1/responses', '/s/global/v1/audio/speech', '/v1/chat/completions/chatcmpl-1', '/v1/'])(
    '%s is not served, and the answer says what is',
    async (path) => {
      const reply = await refused({ path });
      expect([reply.status, codeOf(reply)]).toEqual([404, 'client.not_found']);
      expect(reply.text).toContain('/v1/chat/completions');
    },
  );
});

describe('models', () => {
  test('one is found by its id, encoded or not, and by its alias; of other pools none is', async () => {
    await gateway.publish([
      poolRow('mine', { aliases: { small: MODEL }, access: { tokens: false } }),
      memberRow('mine', node.id, [MODEL]),
    ]);
    const ask = async (path: string): Promise<unknown> => {
      const reply = await gateway.call({ method: 'GET', path });
      return reply.status === 200 ? (JSON.parse(reply.text) as unknown) : codeOf(reply);
    };
    expect(await ask(`/v1/models/${SLASHED}`)).toEqual({
      id: SLASHED,
      object: 'model',
      created: 0,
      owned_by: 'global',
    });
    expect(await ask(`/v1/models/${encodeURIComponent(SLASHED)}`)).toMatchObject({ id: SLASHED });
    expect(await ask('/s/mine/v1/models/small')).toMatchObject({ id: 'small', owned_by: 'mine' });
    expect(await ask('/s/mine/v1/models')).toMatchObject({ data: [{ id: 'small' }, { id: MODEL }] });
    for (const path of [`/s/mine/v1/models/${SLASHED}`, '/v1/models/small', '/v1/models/%', '/v1/models/'])
      expect(await ask(path)).toBe('routing.unknown_model');
  });

  test('one that a token may not use is answered as one that does not exist', async () => {
    const key = newSecret('account');
    await gateway.publish([credentialRow(key, { models: ['org/*'] })]);
    const [hidden, nowhere] = await Promise.all(
      [MODEL, 'nowhere'].map((id) => gateway.call({ method: 'GET', path: `/v1/models/${id}`, key })),
    );
    expect(hidden?.text).toBe(nowhere?.text);
    expect((await gateway.call({ method: 'GET', path: `/v1/models/${SLASHED}`, key })).status).toBe(200);
  });
});

describe('connections', () => {
  const message = (body: string, more = ''): string =>
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${gateway.key}\r\ncontent-type: application/json\r\n` +
    `content-length: ${Buffer.byteLength(body)}\r\n${more}\r\n`;
  const asked = (user: string): string => JSON.stringify({ model: MODEL, user, messages: [] });

  test('expect: 100-continue is answered before the body comes', async () => {
    await using line = await raw();
    line.socket.write(message(asked('late'), 'expect: 100-continue\r\n'));
    await eventually('it may go on', () => line.received().startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
    line.socket.write(asked('late'));
    await eventually('it is answered', () => line.received().includes('Hello there.'));
    expect(atNode().body.toString()).toContain('late');
  });

  test('requests that come in one piece are answered in their order, on one connection', async () => {
    await using line = await raw();
    node.handler = (stream, _headers, body) => {
      const { user } = JSON.parse(body.toString()) as { user: string };
      const text = JSON.stringify({ said: user, usage: { prompt_tokens: 1, completion_tokens: 1 } });
      const answer = (): void => {
        stream.respond({ ':status': 200, 'content-type': 'application/json' });
        stream.end(text);
      };
      // The first is the slowest.
      if (user === 'one') setTimeout(answer, 50);
      else answer();
    };
    line.socket.write(['one', 'two', 'three'].map((user) => message(asked(user)) + asked(user)).join(''));
    await eventually('all are there', () => line.received().includes('three'));
    expect([...line.received().matchAll(/"said":"(\w+)"/g)].map(([, user]) => user)).toEqual(['one', 'two', 'three']);
  });

  test('what was refused before its body came does not become the next request', async () => {
    await using line = await raw();
    const smuggled = `${message(asked('smuggled'))}${asked('smuggled')}`;
    line.socket.write(
      `POST /v1/nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: ${smuggled.length + 1}\r\n\r\n${smuggled}`,
    );
    await eventually('it is refused', () => line.received().startsWith('HTTP/1.1 404'));
    await eventually('the connection has ended', () => line.socket.readableEnded || line.socket.destroyed);
    expect(line.received().match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(node.requests.some(({ body }) => body.includes('smuggled'))).toBe(false);
  });
});

/** One connection, on which a test writes what no client would. */
async function raw(): Promise<AsyncDisposable & { readonly socket: Socket; readonly received: () => string }> {
  const { hostname, port } = new URL(gateway.gateway.url);
  const socket = connect({ host: hostname, port: Number(port) });
  await once(socket, 'connect');
  let text = '';
  socket.on('data', (chunk: Buffer) => void (text += chunk.toString('latin1')));
  socket.on('error', () => {});
  return {
    socket,
    received: () => text,
    [Symbol.asyncDispose]() {
      socket.destroy();
      return Promise.resolve();
    },
  };
}

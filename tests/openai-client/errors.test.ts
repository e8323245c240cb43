/**
 * Every refusal, as the official client shows it: the class that its users catch, the id that they report, and whether
 * it tries again by itself, when, and how often.
 */
import { createServer } from 'node:net';
import { once } from 'node:events';
import { AppError, ERROR_CODES, type ErrorCodeName } from '@subcloud/contract/errors';
import { MAX_BODY_BYTES } from '@subcloud/contract/inference';
import { retryHeaders } from '@subcloud/gateway/request/send-error';
import { newSecret } from '@subcloud/kit/secrets';
import type { NodeHandler, PeerNode } from '@subcloud/testkit/peer-node';
import {
  COMPLETION,
  MODEL,
  type TestGateway,
  answers,
  credentialRow,
  sendJson,
  startTestGateway,
} from '@subcloud/testkit/test-gateway';
import OpenAI, {
  APIConnectionError,
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
} from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

let gateway: TestGateway;
let node: PeerNode;
const ask = { model: MODEL, messages: [{ role: 'user' as const, content: 'hi' }] };

beforeAll(async () => {
  gateway = await startTestGateway();
  node = await gateway.node({});
});
beforeEach(() => {
  node.handler = answers();
});
afterAll(() => gateway[Symbol.asyncDispose]());

/** A client, and the requests that it has sent with the statuses that came back. */
function client(options: { readonly apiKey?: string; readonly maxRetries?: number; readonly pool?: string } = {}) {
  const { apiKey = gateway.key, maxRetries = 0, pool } = options;
  const seen: { readonly status: number; readonly atMs: number }[] = [];
  const openai = new OpenAI({
    baseURL: `${gateway.gateway.url}${pool === undefined ? '' : `/s/${pool}`}/v1`,
    apiKey,
    maxRetries,
    fetch: async (...args) => {
      const response = await fetch(...args);
      seen.push({ status: response.status, atMs: performance.now() });
      return response;
    },
  });
  return { openai, seen };
}

async function caught(call: () => Promise<unknown>): Promise<APIError> {
  const error = await call().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof APIError) return error;
  throw new Error(`not refused, or by no APIError: ${String(error)}`);
}

/** The class for each status that callers of inference can get. */
const CLASSES = {
  400: BadRequestError,
  401: AuthenticationError,
  403: PermissionDeniedError,
  404: NotFoundError,
  429: RateLimitError,
  502: InternalServerError,
  503: InternalServerError,
} as const;

describe('each refusal has its class, its code and an id', () => {
  const engineSays =
    (status: number): NodeHandler =>
    (stream) =>
      sendJson(stream, status, {
        error: { message: 'so says the engine', type: 'x', code: 'engine', param: 'messages' },
      });
  const cases: readonly [string, keyof typeof CLASSES, string, () => Promise<unknown>][] = [
    [
      'no such model',
      404,
      'routing.unknown_model',
      () => client().openai.chat.completions.create({ ...ask, model: 'none' }),
    ],
    ['no such key', 401, 'client.unauthenticated', () => client({ apiKey: newSecret('account') }).openai.models.list()],
    [
      'no key at all',
      401,
      'client.unauthenticated',
      () => client({ apiKey: 'sk-of-somebody-else' }).openai.models.list(),
    ],
    ['no such pool', 404, 'client.not_found', () => client({ pool: 'none' }).openai.models.list()],
    [
      'a model that the key may not use',
      403,
      'policy.model_denied',
      async () => {
        const apiKey = newSecret('account');
        await gateway.publish([credentialRow(apiKey, { models: ['other-*'] })]);
        await client({ apiKey }).openai.chat.completions.create(ask);
      },
    ],
    [
      'a model that is away',
      503,
      'routing.no_eligible_node',
      async () => {
        await gateway.node({ links: false, models: ['away'], handler: answers() }).catch(() => undefined);
        await client().openai.chat.completions.create({ ...ask, model: 'away' });
      },
    ],
    [
      'the engine refuses what was asked',
      400,
      'engine',
      async () => {
        node.handler = engineSays(400);
        await client().openai.chat.completions.create(ask);
      },
    ],
    [
      'the engine is full',
      429,
      'engine',
      async () => {
        node.handler = engineSays(429);
        await client().openai.chat.completions.create(ask);
      },
    ],
    [
      'the engine refuses its own agent',
      502,
      'upstream.failed',
      async () => {
        node.handler = engineSays(401);
        await client().openai.chat.completions.create(ask);
      },
    ],
    [
      'a path that no engine here has',
      400,
      'client.unsupported_operation',
      async () => {
        node.handler = engineSays(501);
        await client().openai.embeddings.create({ model: MODEL, input: 'x' });
      },
    ],
    [
      'a body that is no request',
      400,
      'client.model_required',
      () => client().openai.post('/chat/completions', { body: {} }),
    ],
  ];
  test.each(cases)('%s: %i %s', async (_what, status, code, call) => {
    const error = await caught(call);
    expect(error).toBeInstanceOf(CLASSES[status]);
    expect(error).toMatchObject({ status, code });
    expect(error.requestID).toMatch(/^req_/);
    expect(error.message.length).toBeGreaterThan(10);
  });

  test('the same for a stream: a status before the first byte, never a stream that begins with an error', async () => {
    node.handler = engineSays(400);
    const error = await caught(() => client().openai.chat.completions.create({ ...ask, stream: true }));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, code: 'engine', param: 'messages' });
  });

  test('a stream that breaks after its first byte ends with an error that the client throws, after all that came', async () => {
    node.handler = (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
      stream.write(
        'data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"half"}}]}\n\n',
      );
      setImmediate(() => stream.destroy(new Error('broken')));
    };
    const { data: stream, request_id: id } = await client()
      .openai.chat.completions.create({ ...ask, stream: true })
      .withResponse();
    expect(id).toMatch(/^req_/);
    let text = '';
    const error = await caught(async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    });
    expect(text).toBe('half');
    expect(error).toMatchObject({ code: 'upstream.interrupted' });
  });

  test('a body over the limit is a 413 for the client, although it is still sending', async () => {
    const huge = { ...ask, messages: [{ role: 'user' as const, content: 'x'.repeat(MAX_BODY_BYTES + 1_000_000) }] };
    expect(await caught(() => client().openai.chat.completions.create(huge))).toMatchObject({
      status: 413,
      code: 'client.too_large',
    });
  });

  test('a gateway that is not there is a connection error', async () => {
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const { port } = free.address() as { port: number };
    free.close();
    await once(free, 'close');
    const openai = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'x', maxRetries: 0 });
    await expect(openai.models.list()).rejects.toBeInstanceOf(APIConnectionError);
  });
});

describe('what is not served', () => {
  const openai = (): OpenAI => client().openai;
  const calls: readonly [string, () => Promise<unknown>][] = [
    ['responses.create', () => openai().responses.create({ model: MODEL, input: 'x' })],
    ['moderations.create', () => openai().moderations.create({ input: 'x' })],
    ['images.generate', () => openai().images.generate({ model: MODEL, prompt: 'x' })],
    ['audio.speech.create', () => openai().audio.speech.create({ model: MODEL, voice: 'alloy', input: 'x' })],
    ['files.list', () => openai().files.list()],
    ['batches.list', () => openai().batches.list()],
    ['fineTuning.jobs.list', () => openai().fineTuning.jobs.list()],
    ['vectorStores.list', () => openai().vectorStores.list()],
    ['chat.completions.list', () => openai().chat.completions.list()],
    ['chat.completions.retrieve', () => openai().chat.completions.retrieve('chatcmpl-1')],
  ];
  test.each(calls)('%s is a 404 that names what is', async (_name, call) => {
    const error = await caught(call);
    expect([400, 404, 405]).toContain(error.status);
    expect(error.message).toMatch(/\/v1\/chat\/completions|method/);
    expect(error.requestID).toMatch(/^req_/);
  });

  test('models.delete is a method that there is not', async () => {
    expect(await caught(() => openai().models.delete(MODEL))).toMatchObject({ status: 405 });
  });
});

describe('answers', () => {
  test('carry their id, raw and parsed', async () => {
    const { openai } = client();
    const parsed = await openai.chat.completions.create(ask);
    expect(parsed._request_id).toMatch(/^req_/);
    const raw = await openai.chat.completions.create(ask).asResponse();
    expect(raw.headers.get('x-request-id')).toMatch(/^req_/);
    expect(await raw.json()).toEqual(COMPLETION);
    const { data, response, request_id: id } = await openai.chat.completions.create(ask).withResponse();
    expect([data.choices, id]).toEqual([COMPLETION.choices, response.headers.get('x-request-id')]);
    expect((await openai.models.retrieve(MODEL))._request_id).toMatch(/^req_/);
  });
});

describe('the client tries again', () => {
  test('after a 429 when `retry-after` says, the node’s own word passed on', async () => {
    let asked = 0;
    node.handler = (stream, ...rest) => {
      asked += 1;
      if (asked > 1) answers()(stream, ...rest);
      else sendJson(stream, 429, { error: { message: 'full' } }, { 'retry-after': '2' });
    };
    const { openai, seen } = client({ maxRetries: 1 });
    await openai.chat.completions.create(ask);
    const [first, second] = seen;
    expect(seen.map(({ status }) => status)).toEqual([429, 200]);
    // Its own back-off would be half a second.
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThan(1_900);
  });

  test.each([
    ['asks for more than the limit ever gives', { tokensPerMinute: 5 }],
    ['would have to wait longer than a client does', { tokensPerDay: 5 }],
  ])('not where it %s', async (_what, limits) => {
    const apiKey = newSecret('account');
    await gateway.publish([credentialRow(apiKey, { limits })]);
    const { openai, seen } = client({ apiKey, maxRetries: 2 });
    expect(await caught(() => openai.chat.completions.create(ask))).toBeInstanceOf(RateLimitError);
    expect(seen.map(({ status }) => status)).toEqual([429]);
  });

  test('not what two engines have ended over', async () => {
    const ends: NodeHandler = (stream) => void stream.destroy(new Error('ended'));
    node.handler = ends;
    await using two = await startTestGateway();
    const peers = [
      await two.node({ handler: ends }),
      await two.node({ handler: ends }),
      await two.node({ handler: ends }),
    ];
    const openai = new OpenAI({ baseURL: `${two.gateway.url}/v1`, apiKey: two.key, maxRetries: 2 });
    const error = await caught(() => openai.chat.completions.create(ask));
    expect(error).toMatchObject({ status: 502, code: 'upstream.suspect_request' });
    expect(peers.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(2);
  });

  test('no other refusal forbids it, and none that has a time to come back is without it', () => {
    // 4xx apart from these are final for the client by themselves.
    const tried = Object.entries(ERROR_CODES).filter(
      ([, { status }]) => [408, 409, 429].includes(status) || status >= 500,
    );
    for (const [code] of tried) {
      for (const retryAfterS of [undefined, 1, 60, 61]) {
        const forbidden = retryHeaders(
          new AppError(code as ErrorCodeName, retryAfterS === undefined ? {} : { retryAfterS }),
        );
        const never =
          code === 'upstream.suspect_request' || (code === 'policy.limit_exceeded' && retryAfterS === undefined);
        expect([code, retryAfterS, forbidden['x-should-retry'], forbidden['retry-after']]).toEqual([
          code,
          retryAfterS,
          never || retryAfterS === 61 ? 'false' : undefined,
          retryAfterS === undefined ? undefined : String(retryAfterS),
        ]);
      }
    }
  });
});

/**
 * Answers of a real llama.cpp, recorded byte for byte (`npm run test:engines -- --record`), through a real gateway to the
 * official client. What the client makes of them is what it makes of the same bytes with nothing in between, however the
 * bytes are cut on their way.
 */
import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { PeerNode } from '@subcloud/testkit/peer-node';
import { type RecordedExchange, recordedExchanges } from '@subcloud/testkit/recorded-exchanges';
import { type TestGateway, startTestGateway } from '@subcloud/testkit/test-gateway';
import fc from 'fast-check';
import OpenAI, { APIError } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const EXCHANGES = recordedExchanges();
const MODEL = 'tiny';
let gateway: TestGateway;
let node: PeerNode;
let plain: Server;
let playing: RecordedExchange | undefined;
let through: OpenAI;
let direct: OpenAI;

beforeAll(async () => {
  gateway = await startTestGateway();
  node = await gateway.node({ models: [MODEL] });
  plain = createServer((request, response) => {
    request.resume();
    response.writeHead(playing?.status ?? 500, { 'content-type': playing?.contentType });
    response.end(playing?.body);
  }).listen(0, '127.0.0.1');
  await once(plain, 'listening');
  const { port } = plain.address() as AddressInfo;
  through = new OpenAI({ baseURL: `${gateway.gateway.url}/v1`, apiKey: gateway.key, maxRetries: 0 });
  direct = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'x', maxRetries: 0 });
});
afterAll(async () => {
  plain.close();
  plain.closeAllConnections();
  await gateway[Symbol.asyncDispose]();
});

/** The node and the plain server answer with this from now on; the node in pieces of these sizes, over and over. */
function play(exchange: RecordedExchange, sizes: readonly number[] = [65_536]): void {
  playing = exchange;
  const bytes = Buffer.from(exchange.body);
  node.handler = (stream) => {
    stream.respond({ ':status': exchange.status, 'content-type': exchange.contentType });
    let at = 0;
    for (let turn = 0; at < bytes.byteLength; turn += 1) {
      const size = sizes[turn % sizes.length] ?? 1;
      stream.write(bytes.subarray(at, at + size));
      at += size;
    }
    stream.end();
  };
}

/** All that the client shows of an answer, or the refusal that it throws. */
async function seen(client: OpenAI, exchange: RecordedExchange, more: object = {}): Promise<unknown> {
  const body = { ...exchange.request, ...more } as never;
  try {
    const call = exchange.path.slice('/v1/'.length);
    const answer: unknown = await (call === 'embeddings'
      ? client.embeddings.create(body)
      : call === 'completions'
        ? client.completions.create(body)
        : client.chat.completions.create(body));
    if (exchange.request['stream'] !== true) return { ...(answer as object), _request_id: undefined };
    const chunks: unknown[] = [];
    for await (const chunk of answer as AsyncIterable<unknown>) chunks.push(chunk);
    return chunks;
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    return { refused: error.constructor.name, status: error.status, body: error.error as unknown };
  }
}

const named = (name: string): RecordedExchange => {
  const found = EXCHANGES.find((exchange) => exchange.name === name);
  if (found === undefined) throw new Error(`no recording ${name}`);
  return found;
};

test('there are recordings of every form', () => {
  expect(EXCHANGES.length).toBeGreaterThanOrEqual(21);
});

describe('as from the engine itself', () => {
  test.each(EXCHANGES.filter(({ status }) => status !== 501))('$name', async (exchange) => {
    play(exchange);
    const wanted = await seen(direct, exchange);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 5 }), async (sizes) => {
        play(exchange, sizes);
        expect(await seen(through, exchange)).toEqual(wanted);
      }),
      { numRuns: 4 },
    );
  });

  test('but a path that the engine does not have is a 400 that says so', async () => {
    const exchange = named('no-embeddings');
    play(exchange);
    expect(await seen(through, exchange)).toMatchObject({
      refused: 'BadRequestError',
      body: { code: 'client.unsupported_operation', param: 'model' },
    });
  });

  test.each(EXCHANGES.filter(({ request }) => request['stream_options'] !== undefined))(
    '$name, whose caller did not ask for the usage: all but the event that has nothing else',
    async (exchange) => {
      play(exchange);
      const wanted = (await seen(direct, exchange)) as readonly { choices: readonly unknown[] }[];
      const without = await seen(through, exchange, { stream_options: undefined });
      expect(without).toEqual(wanted.filter(({ choices }) => choices.length > 0));
      const asked = JSON.parse(node.requests.at(-1)?.body.toString() ?? '{}') as { stream_options?: object };
      expect(asked.stream_options).toEqual({ include_usage: true });
    },
  );
});

describe('what the client puts together', () => {
  const final = (exchange: RecordedExchange): Promise<OpenAI.ChatCompletion> => {
    play(exchange, [97]);
    return through.chat.completions.stream(exchange.request as never).finalChatCompletion();
  };

  test('of a streamed call of a function: one call, whole, with arguments that its schema allows', async () => {
    const [choice] = (await final(named('tool-call-stream'))).choices;
    expect(choice?.finish_reason).toBe('tool_calls');
    expect(choice?.message.tool_calls).toHaveLength(1);
    const [call] = choice?.message.tool_calls ?? [];
    if (call?.type !== 'function') throw new Error('no call of a function');
    expect(call.function.name).toBe('get_weather');
    const { city, unit } = JSON.parse(call.function.arguments) as { city: string; unit: string };
    expect(['Paris', 'Rome']).toContain(city);
    expect(['C', 'F']).toContain(unit);
  });

  test('of parallel calls: each with an id of its own, in their order', async () => {
    const exchange = named('tool-calls-parallel-stream');
    play(exchange, [31]);
    const calls: { id: string; name: string; arguments: string }[] = [];
    const stream = await through.chat.completions.create(exchange.request as never);
    for await (const chunk of stream as unknown as AsyncIterable<OpenAI.ChatCompletionChunk>) {
      for (const { index, id, function: said } of chunk.choices[0]?.delta.tool_calls ?? []) {
        calls[index] ??= { id: '', name: '', arguments: '' };
        const call = calls[index];
        call.id += id ?? '';
        call.name += said?.name ?? '';
        call.arguments += said?.arguments ?? '';
      }
    }
    expect(calls.length).toBeGreaterThan(1);
    expect(new Set(calls.map(({ id }) => id)).size).toBe(calls.length);
    expect(calls.map(({ name }) => name)).toEqual(calls.map(() => 'get_weather'));
    expect(JSON.parse(calls[0]?.arguments ?? '')).toHaveProperty('city');
  });

  test('of structured output: an object that its schema allows', async () => {
    const [choice] = (await final(named('schema-stream'))).choices;
    const answer = JSON.parse(choice?.message.content ?? '') as { capital: string; certain: boolean };
    expect(Object.keys(answer).sort()).toEqual(['capital', 'certain']);
    expect(['Paris', 'Rome']).toContain(answer.capital);
    expect(typeof answer.certain).toBe('boolean');
  });

  test('of log probabilities: one for each token, with as many alternatives as were asked for', async () => {
    const { choices, usage } = await final(named('logprobs-stream'));
    const tokens = choices[0]?.logprobs?.content ?? [];
    expect(tokens.map(({ token }) => token).join('')).toBe(choices[0]?.message.content);
    expect(tokens.every(({ top_logprobs: likely, logprob }) => likely.length === 2 && logprob <= 0)).toBe(true);
    // The end of the answer is a token too.
    expect(usage?.completion_tokens).toBeGreaterThanOrEqual(tokens.length);
  });

  test('of several choices: each its own text', async () => {
    const { choices } = await final(named('choices-stream'));
    expect(choices.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual([0, 1]);
    for (const { message } of choices) expect(message.content).toContain('Paris');
  });
});

/** Callers of the official client who stop waiting: by a signal, by a time limit, or in the middle of a stream. */
import type { ServerHttp2Stream } from 'node:http2';
import type { NodeHandler, PeerNode } from '@subcloud/testkit/peer-node';
import { eventually } from '@subcloud/testkit/eventually';
import { MODEL, type TestGateway, answers, event, startTestGateway } from '@subcloud/testkit/test-gateway';
import OpenAI, { APIConnectionTimeoutError, APIUserAbortError } from 'openai';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

const ask = { model: MODEL, messages: [{ role: 'user' as const, content: 'hi' }] };
let gateway: TestGateway;
let node: PeerNode;
/** Streams of requests that the node has and does not end. */
let held: ServerHttp2Stream[] = [];

const silent: NodeHandler = (stream) => void held.push(stream);
const endless: NodeHandler = (stream) => {
  held.push(stream);
  stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
  stream.write(event({ choices: [{ index: 0, delta: { content: 'a' } }] }));
};

beforeAll(async () => {
  gateway = await startTestGateway();
  node = await gateway.node({});
});
beforeEach(() => {
  held = [];
});
afterAll(() => gateway[Symbol.asyncDispose]());

const client = (options: object = {}): OpenAI =>
  new OpenAI({ baseURL: `${gateway.gateway.url}/v1`, apiKey: gateway.key, maxRetries: 0, ...options });
const isGone = (): Promise<unknown> =>
  eventually('the node’s request is reset', () => held.length > 0 && held.every((stream) => stream.destroyed));

test('a signal before the first byte ends the request at the node', async () => {
  node.handler = silent;
  const leaves = new AbortController();
  const call = client().chat.completions.create(ask, { signal: leaves.signal });
  await eventually('it is there', () => held.length === 1);
  leaves.abort();
  await expect(call).rejects.toBeInstanceOf(APIUserAbortError);
  await isGone();
});

test.each(['signal', 'controller', 'break'])('a stream that its reader leaves ends at the node: %s', async (how) => {
  node.handler = endless;
  const leaves = new AbortController();
  const stream = await client().chat.completions.create({ ...ask, stream: true }, { signal: leaves.signal });
  let read = 0;
  for await (const _chunk of stream) {
    read += 1;
    if (how === 'break') break;
    if (how === 'signal') leaves.abort();
    else stream.controller.abort();
  }
  expect(read).toBe(1);
  await isGone();
});

test('the client’s own time limit ends the request at the node, and each new try is a new request', async () => {
  node.handler = silent;
  let tries = 0;
  const counted: typeof fetch = (...args) => {
    tries += 1;
    return fetch(...args);
  };
  const call = client({ timeout: 2_000, maxRetries: 1, fetch: counted }).chat.completions.create(ask);
  await expect(call).rejects.toBeInstanceOf(APIConnectionTimeoutError);
  expect(tries).toBe(2);
  await isGone();
});

test('callers who left cost the node nothing: the next one is served by it', async () => {
  node.handler = endless;
  for (let left = 0; left < 6; left += 1) {
    const stream = await client().chat.completions.create({ ...ask, stream: true });
    for await (const _chunk of stream) break;
  }
  await isGone();
  node.handler = answers();
  expect((await client().chat.completions.create(ask)).choices[0]?.message.content).toBe('Hello there.');
});

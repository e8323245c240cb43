import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest, type RequestOptions, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { ApiError } from './api-error.ts';
import { createEngineServer } from './engine-server.ts';
import { maxBodyBytes } from './read-json-body.ts';
import type { GeneratedPiece, GenerationEnd, GenerationRequest, TextModel } from './text-model.ts';

type Generate = TextModel['generate'];

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

/** The HTTP side with a model whose every step the test decides. */
async function serve(generate: Generate): Promise<number> {
  const model = { id: 'm', maxContextTokens: 10, generate, [Symbol.asyncDispose]: () => Promise.resolve() };
  const server = createEngineServer(model, () => 1_700_000_000_500);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const end: GenerationEnd = { finishReason: 'stop', promptTokens: 3, completionTokens: 2 };
async function* hello(): AsyncGenerator<GeneratedPiece, GenerationEnd, void> {
  yield { text: 'Hel', tokens: [] };
  yield { text: 'lo', tokens: [] };
  return await Promise.resolve(end);
}

async function send(port: number, options: RequestOptions, body?: string): Promise<IncomingMessage> {
  const json = { 'content-type': 'application/json' };
  const request = httpRequest({ port, host: '127.0.0.1', method: 'POST', headers: json, agent: false, ...options });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return text;
}

const path = '/v1/chat/completions';
const ask = (more: object = {}) => JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hi' }], ...more });
const eventsOf = (text: string): unknown[] =>
  text
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => event.replace(/^data: /, ''))
    .map((data) => (data === '[DONE]' ? data : (JSON.parse(data) as unknown)));

test('an answer in one piece has the text, why it ended and what it cost', async () => {
  const response = await send(await serve(hello), { path }, ask());
  expect(response.statusCode).toBe(200);
  expect(JSON.parse(await textOf(response))).toMatchObject({
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'm',
    choices: [{ index: 0, message: { role: 'assistant', content: 'Hello' }, logprobs: null, finish_reason: 'stop' }],
    usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
  });
});

test('a streamed answer has the same text, ends with its reason, then its usage, then DONE', async () => {
  const body = ask({ stream: true, stream_options: { include_usage: true } });
  const response = await send(await serve(hello), { path }, body);
  expect(response.headers['content-type']).toBe('text/event-stream');
  expect(eventsOf(await textOf(response))).toMatchObject([
    { object: 'chat.completion.chunk', choices: [{ delta: { role: 'assistant' }, finish_reason: null }], usage: null },
    { choices: [{ delta: { content: 'Hel' }, finish_reason: null }], usage: null },
    { choices: [{ delta: { content: 'lo' }, finish_reason: null }], usage: null },
    { choices: [{ delta: {}, finish_reason: 'stop' }], usage: null },
    { choices: [], usage: { total_tokens: 5 } },
    '[DONE]',
  ]);
});

test('a stream whose usage was not asked for says nothing of it', async () => {
  const response = await send(await serve(hello), { path }, ask({ stream: true }));
  expect(await textOf(response)).not.toContain('usage');
});

test.each([false, true])('a refusal before the first word keeps its status (stream: %s)', async (stream) => {
  const port = await serve(() => {
    throw new ApiError(429, 'full', { code: 'queue_full' });
  });
  const response = await send(port, { path }, ask({ stream }));
  expect(response.statusCode).toBe(429);
  expect(response.headers['retry-after']).toBe('1');
  expect(JSON.parse(await textOf(response))).toEqual({
    error: { message: 'full', type: 'rate_limit_error', param: null, code: 'queue_full' },
  });
});

test('a stream that breaks ends with an error event and a cut connection, never as if it were complete', async () => {
  const port = await serve(async function* () {
    yield await Promise.resolve({ text: 'Hel', tokens: [] });
    throw new Error('the secret inside');
  });
  const response = await send(port, { path }, ask({ stream: true }));
  let text = '';
  response.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const [error] = (await once(response, 'error')) as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNRESET');
  expect(eventsOf(text).at(-1)).toMatchObject({ error: { code: 'internal_error' } });
  expect(text).not.toMatch(/DONE|secret/);
});

test.each([false, true])('a caller that goes away stops the model (stream: %s)', async (stream) => {
  const started = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  const port = await serve(async function* (_request: GenerationRequest, signal: AbortSignal) {
    signal.addEventListener('abort', () => stopped.resolve());
    yield { text: 'Hel', tokens: [] };
    started.resolve();
    await stopped.promise;
    return end;
  });
  const request = httpRequest({
    port,
    host: '127.0.0.1',
    path,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  });
  request.on('error', () => undefined);
  request.end(ask({ stream }));
  await started.promise;
  request.destroy();
  await stopped.promise;
});

test('a caller that does not read makes the model wait', async () => {
  const maxPieces = 2_000;
  let pieces = 0;
  const port = await serve(async function* (_request: GenerationRequest, signal: AbortSignal) {
    // Far more than all buffers between the two can hold.
    for (; pieces < maxPieces && !signal.aborted; pieces += 1) {
      yield await Promise.resolve({ text: 'x'.repeat(64 * 1024), tokens: [] });
    }
    return end;
  });
  const response = await send(port, { path }, ask({ stream: true }));
  response.pause();
  // A model that nothing holds back writes on in every turn of the loop.
  for (let quietTurns = 0, before = pieces; quietTurns < 200; quietTurns += 1) {
    await new Promise((resolve) => void setImmediate(resolve));
    if (pieces !== before) [quietTurns, before] = [0, pieces];
  }
  expect(pieces).toBeGreaterThan(0);
  expect(pieces).toBeLessThan(maxPieces / 2);
  response.destroy();
});

test('the list of models names the one there is', async () => {
  const response = await send(await serve(hello), { path: '/v1/models?x=1', method: 'GET' });
  expect(JSON.parse(await textOf(response))).toMatchObject({ object: 'list', data: [{ id: 'm', max_model_len: 10 }] });
});

test('the model that makes embeddings is not asked for text in vain: the answer names the one that writes', async () => {
  const model = { id: 'm', maxContextTokens: 10, generate: hello, [Symbol.asyncDispose]: () => Promise.resolve() };
  const embeddings = { id: 'e', dimensions: 2, embed: () => Promise.resolve({ vectors: [], tokens: 0 }) };
  const server = createEngineServer(model, () => 0, embeddings);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  for (const [where, body] of [
    [path, ask({ model: 'e' })],
    ['/v1/completions', JSON.stringify({ model: 'e', prompt: 'x' })],
  ] as const) {
    const response = await send(port, { path: where }, body);
    expect(response.statusCode).toBe(400);
    expect(JSON.parse(await textOf(response))).toMatchObject({
      error: { code: 'unsupported_operation', param: 'model', message: expect.stringContaining('ask m') as string },
    });
  }
});

test.each([
  [404, 'unknown_path', { path: '/v1/embeddings' }, ask()],
  [405, 'method_not_allowed', { path, method: 'GET' }, undefined],
  [405, 'method_not_allowed', { path: '/v1/models' }, ask()],
  [415, 'unsupported_media_type', { path, headers: { 'content-type': 'text/plain' } }, ask()],
  [400, 'invalid_json', { path }, '{"model":'],
  [400, 'invalid_value', { path }, '[]'],
  [404, 'model_not_found', { path }, ask({ model: 'other' })],
  [413, 'body_too_large', { path }, ask({ pad: 'x'.repeat(maxBodyBytes) })],
  [
    413,
    'body_too_large',
    { path, headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' } },
    ask({ pad: 'x'.repeat(maxBodyBytes) }),
  ],
])('what it does not do is refused: %i %s', async (status, code, options, body) => {
  const response = await send(await serve(hello), options, body);
  expect(response.statusCode).toBe(status);
  expect(JSON.parse(await textOf(response))).toMatchObject({ error: { code, type: 'invalid_request_error' } });
});

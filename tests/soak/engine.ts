/**
 * What the engines of a soak answer: words that only the request at hand can have, so that an answer which went astray, lost
 * something or has something twice is seen by whoever compares it.
 */
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ScriptedEngine, startScriptedEngine } from '@subcloud/testkit/scripted-engine';

/** What a request tells the engine, as JSON in its last message, prompt or input. */
export interface Order {
  readonly nonce: string;
  readonly words: number;
  /** Before the head, and between words. */
  readonly waitMs?: number;
  readonly paceMs?: number;
  /** `cut`: the connection breaks in the middle. `500`: it says so. */
  readonly fault?: 'cut' | '500';
}

export const MODELS = { chat: 'soak-chat', image: 'soak-image', embedding: 'soak-embedding' } as const;
export const VISITOR_MODEL = 'soak-visitor';

/** One token a word. */
export function wordsOf({ nonce, words }: Order): readonly string[] {
  return Array.from({ length: words }, (_, index) => `${nonce}.${index} `);
}

export function promptTokensOf({ nonce }: Order): number {
  return 3 + (nonce.length % 5);
}

export function vectorOf({ nonce, words }: Order): readonly number[] {
  return Array.from({ length: words }, (_, index) => Math.round(Math.sin(nonce.length + index) * 1e6) / 1e6);
}

interface Body {
  readonly stream?: boolean;
  readonly tools?: unknown;
  readonly stream_options?: { readonly include_usage?: boolean };
  readonly messages?: readonly { readonly content: string | readonly { readonly text?: string }[] }[];
  readonly prompt?: string;
  readonly input?: string;
  readonly model?: string;
}

export async function startSoakEngine(models: readonly string[]): Promise<ScriptedEngine> {
  return await startScriptedEngine({
    models,
    behaviour: { kind: 'custom', answer: ({ body }, response) => void chat(body as Body, response) },
    answers: {
      'POST /v1/completions': ({ body }, response) => void complete(body as Body, response),
      'POST /v1/embeddings': ({ body }, response) => embed(body as Body, response),
    },
  });
}

function orderOf({ messages, prompt, input }: Body): Order {
  const content = messages?.at(-1)?.content;
  const text = typeof content === 'string' ? content : content?.find((part) => part.text !== undefined)?.text;
  return JSON.parse(text ?? prompt ?? input ?? '') as Order;
}

async function chat(body: Body, response: ServerResponse): Promise<void> {
  const order = orderOf(body);
  if (!(await begins(order, response))) return;
  if (body.tools !== undefined) return tool(order, body, response);
  const finish = { index: 0, finish_reason: 'stop' };
  if (body.stream !== true) {
    const message = { role: 'assistant', content: wordsOf(order).join('') };
    return json(response, { ...frame(body), object: 'chat.completion', choices: [{ ...finish, message }] }, order);
  }
  const delta = (content: string): object => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
  await stream(order, body, response, { delta, last: { choices: [{ ...finish, delta: {} }] } });
}

async function complete(body: Body, response: ServerResponse): Promise<void> {
  const order = orderOf(body);
  if (!(await begins(order, response))) return;
  const choice = (text: string, finish_reason: string | null): object => ({
    choices: [{ index: 0, text, finish_reason, logprobs: null }],
  });
  if (body.stream !== true) {
    const whole = { ...frame(body), object: 'text_completion', ...choice(wordsOf(order).join(''), 'stop') };
    return json(response, whole, order);
  }
  await stream(order, body, response, { delta: (text) => choice(text, null), last: choice('', 'stop') });
}

function embed(body: Body, response: ServerResponse): void {
  const order = orderOf(body);
  const tokens = promptTokensOf(order);
  const data = [{ object: 'embedding', index: 0, embedding: vectorOf(order) }];
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  send(response, 200, { object: 'list', model: body.model, data, usage });
}

function tool(order: Order, body: Body, response: ServerResponse): void {
  const call = {
    index: 0,
    id: `call_${order.nonce}`,
    type: 'function',
    function: { name: 'look', arguments: JSON.stringify({ words: wordsOf(order) }) },
  };
  if (body.stream !== true) {
    const message = { role: 'assistant', content: null, tool_calls: [call] };
    const choices = [{ index: 0, message, finish_reason: 'tool_calls' }];
    return json(response, { ...frame(body), object: 'chat.completion', choices }, order);
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const event = (value: object): void =>
    void response.write(`data: ${JSON.stringify({ ...frame(body), ...value })}\n\n`);
  const half = Math.floor(call.function.arguments.length / 2);
  const piece = (index: number, text: string): object => ({
    choices: [
      {
        index: 0,
        delta: {
          tool_calls: [
            index === 0
              ? { ...call, function: { ...call.function, arguments: text } }
              : { index: 0, function: { arguments: text } },
          ],
        },
        finish_reason: null,
      },
    ],
  });
  event(piece(0, call.function.arguments.slice(0, half)));
  event(piece(1, call.function.arguments.slice(half)));
  event({ choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] });
  if (body.stream_options?.include_usage === true) event({ choices: [], usage: usageOf(order) });
  response.end('data: [DONE]\n\n');
}

/** False: it has been answered or left already. */
async function begins(order: Order, response: ServerResponse): Promise<boolean> {
  if (order.fault === '500') {
    send(response, 500, { error: { message: 'out of memory', type: 'server_error' } });
    return false;
  }
  if (order.waitMs !== undefined) await sleep(order.waitMs);
  return !response.destroyed;
}

interface Shape {
  readonly delta: (text: string) => object;
  readonly last: object;
}

async function stream(order: Order, body: Body, response: ServerResponse, { delta, last }: Shape): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const event = (value: object): void =>
    void response.write(`data: ${JSON.stringify({ ...frame(body), ...value })}\n\n`);
  const words = wordsOf(order);
  for (const [index, word] of words.entries()) {
    if (response.destroyed) return;
    if (order.fault === 'cut' && index >= words.length / 2) return void response.write('', () => response.destroy());
    event(delta(word));
    if (order.paceMs !== undefined) await sleep(order.paceMs);
  }
  event(last);
  if (body.stream_options?.include_usage === true) event({ choices: [], usage: usageOf(order) });
  response.end('data: [DONE]\n\n');
}

function frame({ model }: Body): object {
  return { id: 'soak', object: 'chat.completion.chunk', created: 0, model };
}

export function usageOf(order: Order) {
  const [prompt_tokens, completion_tokens] = [promptTokensOf(order), order.words];
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

function json(response: ServerResponse, value: object, order: Order): void {
  send(response, 200, { ...value, usage: usageOf(order) });
}

function send(response: ServerResponse, status: number, value: object): void {
  const text = JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** An internal API: it says what it was asked, and its own words below `/words/NONCE`. */
export async function startSoakApi(): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('error', () => {}).on('data', (part: string) => (body += part));
    request.on('end', () => {
      response.on('error', () => {});
      response.writeHead(200, { 'content-type': 'text/plain' });
      response.write(`${request.method} `);
      response.end(`${request.url} ${body}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve).closeAllConnections());
    },
  };
}

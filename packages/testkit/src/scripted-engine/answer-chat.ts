/** Plays one answer of `/v1/chat/completions` in the shapes that OpenAI's API has, streamed and not. */
import type { ServerResponse } from 'node:http';
import type { Clock } from '@subcloud/kit/clock';
import type { AnswerOptions, EngineBehaviour } from './behaviour.ts';

export interface ChatPlay {
  readonly response: ServerResponse;
  readonly body: unknown;
  readonly play: EngineBehaviour;
  readonly clock: Clock;
  readonly name: string;
  /** Aborts when the caller leaves. */
  readonly signal: AbortSignal;
  /** Called before the script itself breaks the connection. */
  readonly breakOff: () => void;
}

interface Asked {
  readonly model: string;
  readonly stream: boolean;
  readonly usage: boolean;
  readonly promptTokens: number;
}

export async function answerChat(chat: ChatPlay): Promise<void> {
  const { response, play, clock, signal } = chat;
  const asked = readAsked(chat.body);
  switch (play.kind) {
    case 'refuse':
    case 'reset-before-headers':
      breakOff(chat);
      return;
    case 'hang':
      await untilAborted(signal);
      return;
    case 'status':
      send(
        response,
        play.status,
        play.body ?? { error: { message: `scripted ${play.status}`, type: 'scripted' } },
        play.headers,
      );
      return;
    case 'custom':
      play.answer({ body: chat.body }, response);
      return;
    case 'malformed-sse':
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"id":"x","choices":[{"delta":{"content":"Hel\n\n');
      response.write('data: not json at all\n\n: a comment\nevent: odd\ndata\n\n');
      response.end('data: {"unfinished');
      return;
    case 'huge':
      await sendHuge(chat, asked, play.bytes);
      return;
    case 'slow-first-byte':
      await clock.sleep(play.delayMs, signal);
      await sendAnswer(chat, asked, play);
      return;
    case 'ok':
    case 'no-usage':
    case 'slow-reader':
    case 'reset-mid-stream':
    case 'cut-clean':
      await sendAnswer(chat, asked, play);
      return;
    default:
      play satisfies never;
  }
}

async function sendAnswer(chat: ChatPlay, asked: Asked, answer: EngineBehaviour & AnswerOptions): Promise<void> {
  const { response, clock, signal } = chat;
  const text = answer.text ?? `Hello from ${chat.name}, model ${asked.model}.`;
  const parts = cut(text, answer.chunks ?? 4);
  const model = answer.answersAs ?? asked.model;
  const usage = usageOf(asked, parts.length);
  if (!asked.stream) {
    if (answer.kind === 'reset-mid-stream' || answer.kind === 'cut-clean') {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 });
      response.write('{"id":"chatcmpl-scripted","choi');
      await flushed(response);
      breakOff(chat);
      return;
    }
    const message = { index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' };
    const whole = { id: 'chatcmpl-scripted', object: 'chat.completion', created: 0, model, choices: [message] };
    send(response, 200, answer.kind === 'no-usage' ? whole : { ...whole, usage }, answer.headers);
    return;
  }
  response.writeHead(200, { ...writable(answer.headers), 'content-type': 'text/event-stream; charset=utf-8' });
  response.flushHeaders();
  const event = (choices: readonly unknown[], more: object = {}): string =>
    `data: ${JSON.stringify({ id: 'chatcmpl-scripted', object: 'chat.completion.chunk', created: 0, model, choices, ...more })}\n\n`;
  const last = answer.kind === 'reset-mid-stream' || answer.kind === 'cut-clean' ? answer.afterChunks : parts.length;
  for (const [index, content] of parts.slice(0, last).entries()) {
    if (index > 0 && answer.pacingMs !== undefined) await clock.sleep(answer.pacingMs, signal);
    if (signal.aborted) return;
    response.write(
      event([{ index: 0, delta: index === 0 ? { role: 'assistant', content } : { content }, finish_reason: null }]),
    );
  }
  if (answer.kind === 'reset-mid-stream') {
    await flushed(response);
    breakOff(chat);
    return;
  }
  if (answer.kind !== 'cut-clean') {
    response.write(event([{ index: 0, delta: {}, finish_reason: 'stop' }]));
    if (asked.usage && answer.kind !== 'no-usage') response.write(event([], { usage }));
    response.write('data: [DONE]\n\n');
  }
  response.end();
}

async function sendHuge({ response, signal }: ChatPlay, asked: Asked, bytes: number): Promise<void> {
  const filler = 'x'.repeat(16_000);
  const event = (content: string): string =>
    `data: ${JSON.stringify({ model: asked.model, choices: [{ index: 0, delta: { content } }] })}\n\n`;
  response.writeHead(200, { 'content-type': asked.stream ? 'text/event-stream' : 'application/json' });
  if (!asked.stream)
    response.write(`{"model":${JSON.stringify(asked.model)},"choices":[{"index":0,"message":{"content":"`);
  for (let sent = 0; sent < bytes && !signal.aborted; sent += filler.length) {
    const more = response.write(asked.stream ? event(filler) : filler);
    if (!more) await Promise.race([once(response, 'drain'), untilAborted(signal)]);
  }
  response.end(asked.stream ? 'data: [DONE]\n\n' : '"}}]}');
}

function breakOff({ response, breakOff: tell }: ChatPlay): void {
  tell();
  response.socket?.resetAndDestroy();
}

/** Everything written so far has been handed to the kernel. */
async function flushed(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    response.write('', () => resolve());
  });
}

function once(response: ServerResponse, event: string): Promise<void> {
  return new Promise((resolve) => response.once(event, () => resolve()));
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function send(response: ServerResponse, status: number, body: unknown, headers: AnswerOptions['headers']): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...writable(headers),
  });
  response.end(text);
}

function writable(headers: AnswerOptions['headers']): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers ?? {}).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]),
  );
}

function readAsked(body: unknown): Asked {
  const chat = (typeof body === 'object' && body !== null ? body : {}) as {
    model?: unknown;
    stream?: unknown;
    stream_options?: { include_usage?: unknown } | null;
    messages?: unknown;
  };
  return {
    model: typeof chat.model === 'string' ? chat.model : '',
    stream: chat.stream === true,
    usage: chat.stream_options?.include_usage === true,
    promptTokens: Math.max(1, Math.ceil(JSON.stringify(chat.messages ?? '').length / 4)),
  };
}

/** One token a chunk, so that a test can count what it has seen. */
function usageOf({ promptTokens }: Asked, completionTokens: number) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

function cut(text: string, chunks: number): readonly string[] {
  const size = Math.max(1, Math.ceil(text.length / chunks));
  return Array.from({ length: Math.ceil(text.length / size) }, (_, index) =>
    text.slice(index * size, (index + 1) * size),
  );
}

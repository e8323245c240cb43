import * as z from 'zod';
import { ApiError, ConnectionError, errorFromEnvelope } from './api-error.ts';
import { sseParser } from './sse.ts';
import { type Transport, type TransportOptions, connectionError, createTransport, readJson } from './transport.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  /** A Subcloud's name; without it the credential decides. */
  readonly pool?: string | undefined;
  readonly temperature?: number | undefined;
  readonly maxTokens?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a request to the inference API needs, without the whole of an OpenAI client. */
export interface ChatClient {
  /** Ids of the models that the credential may use in the pool. */
  models(pool?: string): Promise<string[]>;
  /**
   * Pieces of the answer's text, as they come. A stream that breaks throws; an answer that ends is whole.
   *
   * @throws ApiError, ConnectionError
   */
  stream(request: ChatRequest): AsyncGenerator<string>;
  close(): Promise<void>;
}

export interface ChatClientOptions extends TransportOptions {
  /** Longest silence of the network. Default 120 s: a long prompt takes its time before the first token. */
  readonly idleMs?: number | undefined;
}

const DEFAULT_IDLE_MS = 120_000;
const MAX_ANSWER_BYTES = 4_194_304;
const MAX_EVENT_BYTES = 1_048_576;

const modelList = z.object({ data: z.array(z.object({ id: z.string() })) });
const chunkShape = z.object({
  choices: z.array(z.object({ delta: z.object({ content: z.string().nullish() }).nullish() })),
});

/** Throws TypeError for a URL that is no http(s) URL. */
export function createChatClient(options: ChatClientOptions): ChatClient {
  const transport = createTransport(options);
  const { origin } = new URL(options.url);
  const idleMs = options.idleMs ?? DEFAULT_IDLE_MS;
  return {
    async models(pool) {
      const answer = await transport.send({ method: 'GET', path: `${poolPath(pool)}/v1/models`, idleMs });
      const parsed = modelList.safeParse(await readJson(answer, origin, MAX_ANSWER_BYTES));
      if (!parsed.success) throw new ConnectionError('unexpected_answer', `${origin} lists models in an unknown form`);
      return parsed.data.data.map(({ id }) => id);
    },
    stream: (request) => streamChat(transport, origin, idleMs, request),
    close: () => transport.close(),
  };
}

async function* streamChat(
  transport: Transport,
  origin: string,
  idleMs: number,
  request: ChatRequest,
): AsyncGenerator<string> {
  const { model, messages, temperature, maxTokens, signal } = request;
  const answer = await transport.send({
    method: 'POST',
    path: `${poolPath(request.pool)}/v1/chat/completions`,
    headers: { accept: 'text/event-stream' },
    body: {
      model,
      messages,
      stream: true,
      ...(temperature === undefined ? {} : { temperature }),
      ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
    },
    signal,
    idleMs,
  });
  const contentType = String(answer.headers['content-type'] ?? '');
  if (answer.statusCode !== 200 || !contentType.startsWith('text/event-stream')) {
    await readJson(answer, origin, MAX_ANSWER_BYTES);
    throw new ConnectionError('unexpected_answer', `${origin} answered with ${contentType || 'no type'}, not a stream`);
  }
  const requestId = String(answer.headers['x-request-id'] ?? '') || null;
  const parser = sseParser(MAX_EVENT_BYTES);
  try {
    for await (const bytes of answer.body) {
      for (const { data } of parser.push(bytes as Buffer)) {
        if (data === '[DONE]') return;
        const text = textOf(data, requestId);
        if (text !== '') yield text;
      }
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    if (error instanceof RangeError) throw new ConnectionError('unexpected_answer', error.message, error);
    throw connectionError(error, origin, signal);
  }
  throw new ApiError({
    code: 'upstream.interrupted',
    status: 502,
    message: 'The answer broke off before its end.',
    requestId,
  });
}

/** The text of one chunk; throws the ApiError that it may carry instead. */
function textOf(data: string, requestId: string | null): string {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw new ConnectionError('unexpected_answer', 'an event of the stream is not JSON');
  }
  const failure = errorFromEnvelope(value, null, requestId);
  if (failure !== undefined) throw failure;
  const parsed = chunkShape.safeParse(value);
  return parsed.success ? parsed.data.choices.map(({ delta }) => delta?.content ?? '').join('') : '';
}

function poolPath(pool: string | undefined): string {
  return pool === undefined ? '' : `/s/${encodeURIComponent(pool)}`;
}

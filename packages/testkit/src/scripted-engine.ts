/**
 * An OpenAI-compatible engine that does what a test tells it: a real server on a real socket, deterministic text, and
 * every way of failing that engines have. It records each request with what became of it, and its admin endpoints only
 * record that somebody reached them.
 */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '@subcloud/kit/clock';
import { answerChat } from './scripted-engine/answer-chat.ts';
import type { EngineBehaviour } from './scripted-engine/behaviour.ts';
import { type EngineAnswers, answerQuestion } from './scripted-engine/engine-answers.ts';
import { readChatBody } from './scripted-engine/chat-body.ts';

export type { EngineAnswers } from './scripted-engine/engine-answers.ts';
export type { EngineBehaviour } from './scripted-engine/behaviour.ts';

export interface EngineRequest {
  /** The clock's wall time when the request's head came. */
  readonly at: number;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** `model` of the body, as JSON.parse reads it; undefined without one. */
  readonly model: string | undefined;
  /** The body, parsed where it is JSON, else its text. */
  readonly body: unknown;
  /** `x-request-id`, else the body's `user`: how a test finds its own request again. */
  readonly requestId: string | undefined;
  /** `answering` until it ends; `aborted` when the other side left first; `broken` when the script broke it off. */
  readonly outcome: 'answering' | 'answered' | 'aborted' | 'broken';
  /** When the outcome came; undefined while answering. */
  readonly endedAt: number | undefined;
  /** Bytes of a streamed answer that were handed to the socket. */
  readonly bytesSent: number;
}

export interface ScriptedEngine extends AsyncDisposable {
  /** `http://host:port`, without a path. */
  readonly url: string;
  readonly port: number;
  /** In order of arrival, `/v1/models` left out. */
  readonly requests: readonly EngineRequest[];
  /** Questions of the engines' own APIs, as `GET /props`, in order. */
  readonly questions: readonly string[];
  /** How often the list of models was asked for. */
  readonly modelLooks: number;
  /** From the next request on. `refuse` stops listening at once; anything else listens again on the same port. */
  set(behaviour: EngineBehaviour): Promise<void>;
  setModels(models: readonly string[]): void;
  /** Closes connections that are kept open though nothing is under way on them. */
  closeIdle(): void;
  /** Replaces `answers`. */
  setAnswers(answers: EngineAnswers): void;
  close(): Promise<void>;
}

export interface ScriptedEngineOptions {
  readonly models: readonly string[];
  readonly behaviour?: EngineBehaviour;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default: any free one. */
  readonly port?: number;
  /** Times the pacing and stamps the records. */
  readonly clock?: Clock;
  /** What a make of engine answers about itself; by default it is one that has no API but OpenAI's. */
  readonly answers?: EngineAnswers;
  /** Stands in the answers' text; default: the first model. */
  readonly name?: string;
  /** When set, requests need `authorization: Bearer …` with it, as engines with a key do. */
  readonly apiKey?: string;
}

const MAX_BODY_BYTES = 67_108_864;

export async function startScriptedEngine(options: ScriptedEngineOptions): Promise<ScriptedEngine> {
  const { host = '127.0.0.1', clock = systemClock } = options;
  const name = options.name ?? options.models[0] ?? 'engine';
  const requests: Mutable<EngineRequest>[] = [];
  let models = options.models;
  let behaviour: EngineBehaviour = options.behaviour ?? { kind: 'ok' };
  let modelLooks = 0;
  let answers: EngineAnswers = options.answers ?? {};
  const questions: string[] = [];
  let server: Server | undefined;
  let port = options.port ?? 0;

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    response.on('error', () => {});
    request.on('error', () => {});
    const path = request.url ?? '';
    if (options.apiKey !== undefined && request.headers.authorization !== `Bearer ${options.apiKey}`) {
      json(response, 401, { error: { message: 'wrong api key', type: 'authentication_error' } });
      return;
    }
    if (path === '/v1/models' && request.method === 'GET') modelLooks++;
    if (await answerQuestion(request, response, { answers, questions })) return;
    if (path === '/v1/models' && request.method === 'GET') {
      json(response, 200, {
        object: 'list',
        data: models.map((id) => ({ id, object: 'model', owned_by: 'scripted' })),
      });
      return;
    }
    const record = recordOf(request, path, clock.nowMs());
    requests.push(record);
    const play = behaviour;
    const ended = (outcome: EngineRequest['outcome']): void => {
      if (record.outcome !== 'answering') return;
      record.outcome = outcome;
      record.endedAt = clock.nowMs();
    };
    const write = response.write.bind(response);
    response.write = ((chunk: string | Uint8Array, ...rest: never[]) => {
      record.bytesSent += Buffer.byteLength(chunk);
      return write(chunk, ...rest);
    }) as typeof response.write;
    response.on('close', () => ended(response.writableFinished ? 'answered' : 'aborted'));
    const left = new AbortController();
    response.on('close', () => left.abort(new Error('the caller left')));
    const body = await readChatBody(request, { play, clock, maxBytes: MAX_BODY_BYTES, signal: left.signal });
    Object.assign(record, body, { requestId: record.requestId ?? body.requestId });
    if (path === '/v1/completions' || path === '/v1/embeddings') {
      json(response, 404, { error: { message: `no ${path} here` } });
      return;
    }
    if (path !== '/v1/chat/completions' || request.method !== 'POST') {
      // Whatever else engines offer (deleting models, unloading, metrics): that it was reached is what matters.
      json(response, 200, { reached: path });
      return;
    }
    await answerChat({
      response,
      body: body.body,
      play,
      clock,
      name,
      signal: left.signal,
      breakOff: () => ended('broken'),
    });
  };
  const listen = async (): Promise<void> => {
    const next = createServer((request, response) => {
      // A script that is cut short by its caller ends by an exception; the record says the rest.
      serve(request, response).catch(() => response.destroy());
    });
    next.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve, reject) => {
      next.once('error', reject);
      next.listen(port, host, resolve);
    });
    port = (next.address() as AddressInfo).port;
    server = next;
  };
  const unlisten = async (): Promise<void> => {
    const old = server;
    server = undefined;
    if (old === undefined) return;
    await new Promise<void>((resolve) => {
      old.close(() => resolve());
      old.closeAllConnections();
    });
  };

  await listen();
  if (behaviour.kind === 'refuse') await unlisten();
  return {
    url: `http://${host}:${port}`,
    port,
    requests,
    get modelLooks() {
      return modelLooks;
    },
    async set(next) {
      behaviour = next;
      if (next.kind === 'refuse') await unlisten();
      else if (server === undefined) await listen();
    },
    closeIdle: () => server?.closeIdleConnections(),
    setAnswers(next) {
      answers = next;
    },
    questions,
    setModels(next) {
      models = next;
    },
    close: unlisten,
    [Symbol.asyncDispose]: unlisten,
  };
}

function recordOf(request: IncomingMessage, path: string, at: number): Mutable<EngineRequest> {
  const given = request.headers['x-request-id'];
  return {
    at,
    method: request.method ?? '',
    path,
    headers: { ...request.headers },
    model: undefined,
    body: undefined,
    requestId: typeof given === 'string' ? given : undefined,
    outcome: 'answering',
    endedAt: undefined,
    bytesSent: 0,
  };
}

type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] };

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

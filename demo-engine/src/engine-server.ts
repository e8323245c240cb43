import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { ApiError } from './api-error.ts';
import { answerChat } from './chat-endpoint.ts';
import { parseChatRequest, parseCompletionRequest } from './chat-request.ts';
import { answerCompletion } from './completion-endpoint.ts';
import type { EmbeddingModel } from './embedding-model.ts';
import { answerEmbeddings } from './embeddings-endpoint.ts';
import { readJsonBody } from './read-json-body.ts';
import type { TextModel } from './text-model.ts';

const maxConnections = 256;
const requestTimeoutMs = 30_000;
/** Without a byte in either direction. A caller that stops reading must not keep one of the few sequences. */
const stalledSocketMs = 60_000;
const retryAfterSeconds = 1;

/**
 * An inference engine as far as its neighbours can see: the paths of OpenAI's API that a text model needs, and its errors.
 * It checks no keys, so it must listen on loopback, where the agent is its only caller.
 */
export function createEngineServer(model: TextModel, nowMs: () => number, embeddings?: EmbeddingModel): Server {
  const server = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
    // A connection that falls idle while the server is closing would keep it from closing.
    response.once('close', () => setImmediate(() => server.listening || server.closeIdleConnections()));
    answer({ model, embeddings }, request, response, nowMs).catch((error: unknown) => refuse(request, response, error));
  });
  server.maxConnections = maxConnections;
  server.timeout = stalledSocketMs;
  return server;
}

interface Models {
  readonly model: TextModel;
  readonly embeddings: EmbeddingModel | undefined;
}

async function answer(
  models: Models,
  request: IncomingMessage,
  response: ServerResponse,
  nowMs: () => number,
): Promise<void> {
  const { model, embeddings } = models;
  const [path = ''] = (request.url ?? '').split('?');
  switch (path) {
    case '/v1/models':
      requireMethod(request, 'GET');
      return void response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify(modelList({ model, embeddings })));
    case '/v1/completions':
      requireMethod(request, 'POST');
      return answerCompletion(
        model,
        forText(models, parseCompletionRequest(await readJsonBody(request))),
        response,
        nowMs,
      );
    case '/v1/embeddings':
      requireMethod(request, 'POST');
      if (embeddings === undefined)
        throw new ApiError(404, 'This engine makes no embeddings.', { code: 'unknown_path' });
      return answerEmbeddings(embeddings, await readJsonBody(request), response);
    case '/v1/chat/completions':
      requireMethod(request, 'POST');
      return answerChat(model, forText(models, parseChatRequest(await readJsonBody(request))), response, nowMs);
    default:
      throw new ApiError(404, 'This engine does not serve that path.', { code: 'unknown_path' });
  }
}

/** @throws ApiError 400 where it is for the model that writes nothing */
function forText<Asked extends { readonly model: string }>({ model, embeddings }: Models, asked: Asked): Asked {
  if (asked.model !== embeddings?.id) return asked;
  throw new ApiError(400, `${asked.model} makes embeddings and writes no text: ask ${model.id} for that.`, {
    code: 'unsupported_operation',
    param: 'model',
  });
}

function requireMethod(request: IncomingMessage, method: string): void {
  if (request.method === method) return;
  throw new ApiError(405, `This path takes ${method}.`, { code: 'method_not_allowed' });
}

/** `max_model_len` is how vLLM tells the context's length; agents read it there. */
function modelList({ model, embeddings }: Models): object {
  const entry = (id: string, more: object) => ({ id, object: 'model', created: 0, owned_by: 'subcloud', ...more });
  const text = entry(model.id, { max_model_len: model.maxContextTokens });
  return { object: 'list', data: embeddings === undefined ? [text] : [text, entry(embeddings.id, {})] };
}

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const refusal = ApiError.from(error);
  if (refusal.status === 429) response.setHeader('retry-after', retryAfterSeconds);
  // What is left of a body that was refused would be read as the next request.
  if (!request.complete) response.setHeader('connection', 'close');
  response.writeHead(refusal.status, { 'content-type': 'application/json' }).end(JSON.stringify(refusal));
}

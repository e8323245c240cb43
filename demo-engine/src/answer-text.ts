import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { ApiError } from './api-error.ts';
import type { ChatRequest } from './chat-request.ts';
import type { GeneratedPiece, GeneratedToken, GenerationEnd, TextModel } from './text-model.ts';

/** How one of OpenAI's paths words the same answers. */
export interface AnswerForm {
  /** Of ids, as `chatcmpl-`. */
  readonly idPrefix: string;
  readonly object: string;
  readonly chunkObject: string;
  /** The one choice of a whole answer. */
  whole(request: ChatRequest, text: string, tokens: readonly GeneratedToken[], finishReason: string): object;
  /** What a stream begins with, before any text; undefined: nothing. */
  opening(request: ChatRequest): object | undefined;
  piece(request: ChatRequest, piece: GeneratedPiece): object;
  last(request: ChatRequest, finishReason: string): object;
}

/** What every answer and every chunk of one begins with. */
interface AnswerHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

/**
 * Answers with generated text, whole or as a stream. Stops computing when the caller goes away.
 *
 * @throws ApiError as long as nothing was sent; after that a fault ends the stream with an error event and a cut connection
 */
export async function answerText(
  form: AnswerForm,
  model: TextModel,
  request: ChatRequest,
  response: ServerResponse,
  nowMs: () => number,
): Promise<void> {
  if (request.model !== model.id) {
    throw new ApiError(404, `This engine serves ${model.id}, and no model of the name that was asked for.`, {
      code: 'model_not_found',
      param: 'model',
    });
  }
  const callerGone = new AbortController();
  response.once('close', () => callerGone.abort());
  const head = { id: `${form.idPrefix}${randomUUID()}`, created: Math.floor(nowMs() / 1_000), model: model.id };
  const pieces = model.generate(request, callerGone.signal);
  if (request.stream) await streamAnswer(form, head, request, pieces, response, callerGone.signal);
  else await sendWholeAnswer(form, head, request, pieces, response, callerGone.signal);
}

type Pieces = AsyncGenerator<GeneratedPiece, GenerationEnd, void>;

async function sendWholeAnswer(
  form: AnswerForm,
  head: AnswerHead,
  request: ChatRequest,
  pieces: Pieces,
  response: ServerResponse,
  callerGone: AbortSignal,
): Promise<void> {
  let content = '';
  const tokens: GeneratedToken[] = [];
  const end = await forEachPiece(pieces, (piece) => {
    content += piece.text;
    tokens.push(...piece.tokens);
  });
  if (callerGone.aborted) return;
  const choice = form.whole(request, content, tokens, end.finishReason);
  const body = JSON.stringify({ ...head, object: form.object, choices: [choice], usage: usageOf(end) });
  response.writeHead(200, { 'content-type': 'application/json' }).end(body);
}

async function streamAnswer(
  form: AnswerForm,
  head: AnswerHead,
  request: ChatRequest,
  pieces: Pieces,
  response: ServerResponse,
  callerGone: AbortSignal,
): Promise<void> {
  // Nothing is sent before there is something to send: a prompt that is too long still gets its status.
  const first = await pieces.next();
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const send = (data: string) => sendEvent(response, data, callerGone);
  const sendChoices = (choices: readonly unknown[], rest: object) =>
    send(JSON.stringify({ ...head, object: form.chunkObject, choices, ...rest }));
  // With include_usage every chunk has the field, and only the last one a value.
  const noUsage = request.includeUsage ? { usage: null } : {};
  const sendChoice = (choice: object) => sendChoices([choice], noUsage);
  try {
    const opening = form.opening(request);
    if (opening !== undefined) await sendChoice(opening);
    const sendPiece = (piece: GeneratedPiece) => sendChoice(form.piece(request, piece));
    if (first.done !== true) await sendPiece(first.value);
    const end = first.done === true ? first.value : await forEachPiece(pieces, sendPiece);
    await sendChoice(form.last(request, end.finishReason));
    if (request.includeUsage) await sendChoices([], { usage: usageOf(end) });
    await send('[DONE]');
    response.end();
  } catch (error) {
    await pieces.return({ finishReason: 'stop', promptTokens: 0, completionTokens: 0 });
    if (callerGone.aborted) return;
    // A cut connection cannot be taken for a complete answer.
    response.write(`data: ${JSON.stringify(ApiError.from(error))}\n\n`, () => response.destroy());
  }
}

/** Waits while the caller reads slower than the model writes: at most one socket buffer is held for it. */
async function sendEvent(response: ServerResponse, data: string, callerGone: AbortSignal): Promise<void> {
  callerGone.throwIfAborted();
  if (!response.write(`data: ${data}\n\n`)) await once(response, 'drain', { signal: callerGone });
}

async function forEachPiece(
  pieces: Pieces,
  use: (piece: GeneratedPiece) => void | Promise<void>,
): Promise<GenerationEnd> {
  for (;;) {
    const next = await pieces.next();
    if (next.done === true) return next.value;
    await use(next.value);
  }
}

function usageOf(end: GenerationEnd): object {
  return {
    prompt_tokens: end.promptTokens,
    completion_tokens: end.completionTokens,
    total_tokens: end.promptTokens + end.completionTokens,
  };
}

import type { ServerResponse } from 'node:http';
import { type AnswerForm, answerText } from './answer-text.ts';
import type { ChatRequest } from './chat-request.ts';
import type { GeneratedToken, TextModel } from './text-model.ts';

const form: AnswerForm = {
  idPrefix: 'chatcmpl-',
  object: 'chat.completion',
  chunkObject: 'chat.completion.chunk',
  whole: (request, content, tokens, finishReason) => ({
    index: 0,
    message: { role: 'assistant', content },
    logprobs: logprobsOf(request, tokens),
    finish_reason: finishReason,
  }),
  opening: (request) => delta(request, { role: 'assistant', content: '' }, [], null),
  piece: (request, { text, tokens }) => delta(request, { content: text }, tokens, null),
  last: (request, finishReason) => delta(request, {}, [], finishReason),
};

/** Answers `POST /v1/chat/completions`; throws as `answerText`. */
export function answerChat(
  model: TextModel,
  request: ChatRequest,
  response: ServerResponse,
  nowMs: () => number,
): Promise<void> {
  return answerText(form, model, request, response, nowMs);
}

function delta(request: ChatRequest, change: object, tokens: readonly GeneratedToken[], finishReason: string | null) {
  return { index: 0, delta: change, logprobs: logprobsOf(request, tokens), finish_reason: finishReason };
}

function logprobsOf(request: ChatRequest, tokens: readonly GeneratedToken[]): object | null {
  if (request.topLogprobs === undefined || (request.stream && tokens.length === 0)) return null;
  const describe = ({ token, logprob }: { token: string; logprob: number }) => ({
    token,
    logprob,
    // A token can be a part of a character: that has no text, and its bytes are not known here.
    bytes: token.includes('\uFFFD') ? null : [...Buffer.from(token)],
  });
  return {
    content: tokens.map((token) => ({ ...describe(token), top_logprobs: token.alternatives.map(describe) })),
  };
}

import type { ServerResponse } from 'node:http';
import { type AnswerForm, answerText } from './answer-text.ts';
import type { CompletionRequest } from './chat-request.ts';
import type { TextModel } from './text-model.ts';

const form: AnswerForm = {
  idPrefix: 'cmpl-',
  object: 'text_completion',
  chunkObject: 'text_completion',
  whole: (_request, text, _tokens, finishReason) => choice(text, finishReason),
  opening: () => undefined,
  piece: (_request, { text }) => choice(text, null),
  last: (_request, finishReason) => choice('', finishReason),
};

/** Answers `POST /v1/completions`; throws as `answerText`. */
export function answerCompletion(
  model: TextModel,
  request: CompletionRequest,
  response: ServerResponse,
  nowMs: () => number,
): Promise<void> {
  return answerText(form, model, request, response, nowMs);
}

function choice(text: string, finishReason: string | null): object {
  return { index: 0, text, logprobs: null, finish_reason: finishReason };
}

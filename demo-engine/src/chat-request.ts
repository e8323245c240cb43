import { type Fields, booleanIn, numberIn, objectAt, refused, textIn } from './request-fields.ts';
import type { ChatMessage, GenerationRequest } from './text-model.ts';

/** A checked body of `POST /v1/chat/completions`. */
export interface ChatRequest extends GenerationRequest {
  readonly model: string;
  readonly stream: boolean;
  /** Streamed answers end with a chunk that counts the tokens. */
  readonly includeUsage: boolean;
}

/** A checked body of `POST /v1/completions`. */
export interface CompletionRequest extends ChatRequest {
  /** Continued as it stands, without a template. */
  readonly prompt: string;
}

const maxMessages = 1_000;
const maxStopSequences = 4;
const maxStopLength = 256;
const maxTopLogprobs = 20;

/**
 * Reads a body the way OpenAI's API defines it. Fields that this engine does not know are ignored, as other engines do; a field that
 * asks for something it cannot do is refused, since ignoring it would be a wrong answer.
 *
 * @throws ApiError 400 that names the field
 */
export function parseChatRequest(body: unknown): ChatRequest {
  const fields = objectAt(body, 'The body');
  const only = numberIn(fields, 'n', 1, 128, true) ?? 1;
  if (only !== 1) throw refused('n', 'this engine gives one answer a request');
  for (const name of ['tools', 'functions']) {
    const list = fields[name];
    if (Array.isArray(list) && list.length > 0) throw refused(name, 'this model cannot call functions');
  }
  refuseUnable(fields);
  checkContinuation(fields);
  const topLogprobs = numberIn(fields, 'top_logprobs', 0, maxTopLogprobs, true);
  const logprobs = booleanIn(fields, 'logprobs') ?? false;
  if (topLogprobs !== undefined && !logprobs) throw refused('top_logprobs', 'it needs logprobs: true');
  return {
    ...samplingIn(fields),
    messages: messagesIn(fields),
    maxTokens: numberIn(fields, 'max_completion_tokens', 1, 1e9, true) ?? numberIn(fields, 'max_tokens', 1, 1e9, true),
    topLogprobs: logprobs ? (topLogprobs ?? 0) : undefined,
  };
}

/** What changes an answer and is not done here: left out it would be a wrong answer that looks like a right one. */
function refuseUnable(fields: Fields): void {
  const format = fields['response_format'] ?? undefined;
  if (format !== undefined && objectAt(format, 'response_format')['type'] !== 'text') {
    throw refused('response_format', 'this model answers with plain text only');
  }
  const { modalities } = fields;
  if (Array.isArray(modalities) && modalities.some((one) => one !== 'text')) {
    throw refused('modalities', 'this model writes text only');
  }
  for (const name of ['presence_penalty', 'frequency_penalty']) {
    if ((numberIn(fields, name, -2, 2) ?? 0) !== 0) throw refused(name, 'this engine does not do that');
  }
  const bias = fields['logit_bias'] ?? undefined;
  if (bias !== undefined && Object.keys(objectAt(bias, 'logit_bias')).length > 0) {
    throw refused('logit_bias', 'this engine does not do that');
  }
}

/** vLLM's words for what this engine does anyway; in them it can be told that the message must be there. */
function checkContinuation(fields: Fields): void {
  if (booleanIn(fields, 'continue_final_message') !== true) return;
  if (booleanIn(fields, 'add_generation_prompt') === true) {
    throw refused('add_generation_prompt', 'it must be false with continue_final_message');
  }
  const { messages } = fields;
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  if (typeof last !== 'object' || last === null || (last as Fields)['role'] !== 'assistant') {
    throw refused('continue_final_message', "the last message must be an assistant's");
  }
}

const defaultCompletionTokens = 16;

/** The same for completions, whose `logprobs` this engine does not give. */
export function parseCompletionRequest(body: unknown): CompletionRequest {
  const fields = objectAt(body, 'The body');
  for (const name of ['n', 'best_of']) {
    if ((numberIn(fields, name, 1, 128, true) ?? 1) !== 1)
      throw refused(name, 'this engine gives one answer a request');
  }
  refuseUnable(fields);
  for (const name of ['logprobs', 'suffix']) {
    if ((fields[name] ?? undefined) !== undefined) throw refused(name, 'this engine does not do that');
  }
  if (booleanIn(fields, 'echo') === true) throw refused('echo', 'this engine does not do that');
  const { prompt } = fields;
  const only: unknown = Array.isArray(prompt) && prompt.length === 1 ? prompt[0] : prompt;
  if (typeof only !== 'string' || only === '') throw refused('prompt', 'it must be one text');
  return {
    ...samplingIn(fields),
    prompt: only,
    messages: [],
    maxTokens: numberIn(fields, 'max_tokens', 1, 1e9, true) ?? defaultCompletionTokens,
    topLogprobs: undefined,
  };
}

function samplingIn(fields: Fields) {
  const streamOptions = fields['stream_options'] ?? undefined;
  return {
    model: textIn(fields, 'model'),
    temperature: numberIn(fields, 'temperature', 0, 2) ?? 1,
    topP: numberIn(fields, 'top_p', 0, 1) ?? 1,
    seed: numberIn(fields, 'seed', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, true),
    stop: stopIn(fields),
    stream: booleanIn(fields, 'stream') ?? false,
    includeUsage:
      streamOptions !== undefined && (booleanIn(objectAt(streamOptions, 'stream_options'), 'include_usage') ?? false),
  };
}

function messagesIn(fields: Fields): ChatMessage[] {
  const list = fields['messages'];
  if (!Array.isArray(list) || list.length === 0 || list.length > maxMessages) {
    throw refused('messages', `it must be a list of 1 to ${maxMessages} messages`);
  }
  return list.map((entry: unknown, index) => {
    const where = `messages.${index}`;
    const message = objectAt(entry, where);
    return { role: roleOf(message['role'], where), content: contentOf(message['content'], where) };
  });
}

function roleOf(role: unknown, where: string): ChatMessage['role'] {
  if (role === 'developer') return 'system';
  if (role === 'system' || role === 'user' || role === 'assistant') return role;
  throw refused(`${where}.role`, 'it must be system, developer, user or assistant');
}

function contentOf(content: unknown, where: string): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw refused(`${where}.content`, 'it must be a text, or a list of text parts');
  const texts = content.map((entry: unknown, index) => {
    const part = objectAt(entry, `${where}.content.${index}`);
    if (part['type'] !== 'text' || typeof part['text'] !== 'string') {
      throw refused(`${where}.content.${index}`, 'this model reads text only');
    }
    return part['text'];
  });
  return texts.join('');
}

function stopIn(fields: Fields): string[] {
  const value = fields['stop'] ?? [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > maxStopSequences) throw refused('stop', `at most ${maxStopSequences} sequences`);
  return list.map((entry) => {
    if (typeof entry === 'string' && entry.length > 0 && entry.length <= maxStopLength) return entry;
    throw refused('stop', `a sequence is a text of 1 to ${maxStopLength} characters`);
  });
}

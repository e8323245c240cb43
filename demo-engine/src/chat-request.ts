import { ApiError } from './api-error.ts';
import type { ChatMessage, GenerationRequest } from './text-model.ts';

/** A checked body of `POST /v1/chat/completions`. */
export interface ChatRequest extends GenerationRequest {
  readonly model: string;
  readonly stream: boolean;
  /** Streamed answers end with a chunk that counts the tokens. */
  readonly includeUsage: boolean;
}

const maxMessages = 1_000;
const maxStopSequences = 4;
const maxStopLength = 256;
const maxTopLogprobs = 20;

type Fields = Readonly<Record<string, unknown>>;

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
  const topLogprobs = numberIn(fields, 'top_logprobs', 0, maxTopLogprobs, true);
  const logprobs = booleanIn(fields, 'logprobs') ?? false;
  if (topLogprobs !== undefined && !logprobs) throw refused('top_logprobs', 'it needs logprobs: true');
  const streamOptions = fields['stream_options'] ?? undefined;
  return {
    model: textIn(fields, 'model'),
    messages: messagesIn(fields),
    maxTokens: numberIn(fields, 'max_completion_tokens', 1, 1e9, true) ?? numberIn(fields, 'max_tokens', 1, 1e9, true),
    temperature: numberIn(fields, 'temperature', 0, 2) ?? 1,
    topP: numberIn(fields, 'top_p', 0, 1) ?? 1,
    seed: numberIn(fields, 'seed', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, true),
    stop: stopIn(fields),
    topLogprobs: logprobs ? (topLogprobs ?? 0) : undefined,
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

function objectAt(value: unknown, name: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new ApiError(400, `${name} must be a JSON object.`, { code: 'invalid_value' });
}

function textIn(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value === 'string' && value !== '') return value;
  throw refused(name, 'it must be a text');
}

function booleanIn(fields: Fields, name: string): boolean | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined || typeof value === 'boolean') return value;
  throw refused(name, 'it must be true or false');
}

function numberIn(fields: Fields, name: string, min: number, max: number, whole = false): number | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value === 'number' && value >= min && value <= max && (!whole || Number.isInteger(value))) return value;
  throw refused(name, `it must be a ${whole ? 'whole ' : ''}number from ${min} to ${max}`);
}

function refused(param: string, why: string): ApiError {
  return new ApiError(400, `Invalid '${param}': ${why}.`, { code: 'invalid_value', param });
}

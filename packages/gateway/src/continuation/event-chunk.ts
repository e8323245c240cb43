/** One event of a streamed answer, as far as a continuation must understand it: OpenAI's chunks of chat and of completions. */

/** Where the text of a choice stands. */
export type ChunkText = 'delta' | 'text';

type Fields = Readonly<Record<string, unknown>>;

export interface EventChunk {
  readonly value: Fields;
  /** No choice: usage, or what an engine adds of its own. */
  readonly isEmpty: boolean;
  readonly text: string;
  readonly role: boolean;
  readonly finish: string | undefined;
  readonly usage: Fields | undefined;
  /** What there is beside text, in a word; undefined: nothing. */
  readonly beside: string | undefined;
}

/** `error`: the engine says that it failed. `strange`: no chunk of this form. */
export function readChunk(event: Buffer, form: ChunkText): EventChunk | 'comment' | 'error' | 'strange' {
  const data = dataOf(event.toString('utf8'));
  if (data === undefined) return 'comment';
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return 'strange';
  }
  if (!isFields(value)) return 'strange';
  const { choices, error } = value;
  if (choices === undefined) return error === undefined || error === null ? 'strange' : 'error';
  if (!Array.isArray(choices)) return 'strange';
  const usage = isFields(value['usage']) ? value['usage'] : undefined;
  const nothing = { value, text: '', role: false, finish: undefined, usage, beside: undefined };
  if (choices.length === 0) return { ...nothing, isEmpty: true };
  const [choice] = choices as readonly unknown[];
  if (!isFields(choice) || choices.length > 1 || (choice['index'] ?? 0) !== 0) {
    return { ...nothing, isEmpty: false, beside: 'more than one choice' };
  }
  const said = choice['finish_reason'];
  const finish = typeof said === 'string' ? said : undefined;
  const probabilities = choice['logprobs'] === undefined || choice['logprobs'] === null ? undefined : 'logprobs';
  if (form === 'text') {
    const text = choice['text'] ?? '';
    if (typeof text !== 'string') return 'strange';
    return { ...nothing, isEmpty: false, text, finish, beside: probabilities };
  }
  const delta = choice['delta'] ?? {};
  if (!isFields(delta)) return 'strange';
  const { role, content } = delta;
  if (content !== undefined && content !== null && typeof content !== 'string') return 'strange';
  const beside = probabilities ?? besideText(delta);
  return { ...nothing, isEmpty: false, text: content ?? '', role: typeof role === 'string', finish, beside };
}

/** Anything that is there and is neither the text nor who says it. */
function besideText(delta: Fields): string | undefined {
  for (const [key, value] of Object.entries(delta)) {
    if (key === 'role' || key === 'content' || value === null || value === undefined || value === '') continue;
    if (Array.isArray(value) && value.length === 0) continue;
    return key === 'tool_calls' || key === 'function_call' ? 'tools' : 'more than text';
  }
  return undefined;
}

export interface Rewriting {
  /** Of the answer that this event is made a part of. */
  readonly first: EventChunk | undefined;
  readonly text: string;
  readonly withoutRole: boolean;
  /** Tokens of the answer that the engine counted as its prompt. */
  readonly completedBefore: number;
}

/** The event as the answer that was begun would have it: its id and time, this text, and the counts of the whole. */
export function writeChunk(chunk: EventChunk, form: ChunkText, rewriting: Rewriting): Buffer {
  const { first, text, withoutRole, completedBefore } = rewriting;
  const value: Record<string, unknown> = { ...chunk.value };
  for (const key of ['id', 'created', 'model', 'system_fingerprint', 'service_tier']) {
    if (first === undefined) break;
    if (first.value[key] === undefined) delete value[key];
    else value[key] = first.value[key];
  }
  if (!chunk.isEmpty) value['choices'] = [choiceOf(chunk, form, text, withoutRole)];
  if (chunk.usage !== undefined) value['usage'] = wholeUsage(chunk.usage, completedBefore);
  return Buffer.from(`data: ${JSON.stringify(value)}\n\n`);
}

function choiceOf(chunk: EventChunk, form: ChunkText, text: string, withoutRole: boolean): Fields {
  const [given] = chunk.value['choices'] as readonly Fields[];
  const choice: Record<string, unknown> = { ...given, finish_reason: chunk.finish ?? null };
  if (form === 'text') return { ...choice, text };
  const delta: Record<string, unknown> = { ...(isFields(given?.['delta']) ? given['delta'] : {}) };
  if (withoutRole) delete delta['role'];
  if (text !== '' || typeof delta['content'] === 'string') delta['content'] = text;
  if (delta['content'] === '' && chunk.finish !== undefined) delete delta['content'];
  return { ...choice, delta };
}

/** The engine that went on read a part of the answer as its prompt. The sum is its own, and right. */
function wholeUsage(usage: Fields, completedBefore: number): Fields {
  const { prompt_tokens: prompt, completion_tokens: completion } = usage;
  if (typeof prompt !== 'number' || typeof completion !== 'number') return usage;
  const moved = Math.min(prompt, completedBefore);
  return { ...usage, prompt_tokens: prompt - moved, completion_tokens: completion + moved };
}

function dataOf(event: string): string | undefined {
  const lines = event.split(/\r\n|\n|\r/).filter((line) => line.startsWith('data:'));
  return lines.length === 0 ? undefined : lines.map((line) => line.slice(5)).join('\n');
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

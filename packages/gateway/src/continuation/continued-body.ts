/**
 * The request that makes another node go on where an answer broke off: the same one, with the text so far as the
 * beginning of the assistant's message, or at the end of the prompt. Pure.
 *
 * What the caller asked for that no continuation can keep (tools, structured output, probabilities, several choices) is
 * refused in a word; so is whatever could be read in two ways.
 */
import { type ScanResult, type ScannedValue, scanTopLevel, scanTopLevelInTurns } from '@subcloud/contract/body-scan';
import { MAX_RETRIED_BODY_BYTES } from '@subcloud/contract/inference';
import { nextTurn } from '@subcloud/kit/turns';
import { type Edit, LARGE_BODY_BYTES, type ScannedBody, withEdits } from '../request/scan-body.ts';
import type { SentText } from './sent-text.ts';

/** Each changes what an answer is, or how it is made; engines have their own words for some. */
const REFUSED: Readonly<Record<string, string>> = {
  tools: 'tools',
  functions: 'tools',
  response_format: 'structured output',
  guided_json: 'structured output',
  guided_regex: 'structured output',
  guided_choice: 'structured output',
  guided_grammar: 'structured output',
  structured_outputs: 'structured output',
  json_schema: 'structured output',
  regex: 'structured output',
  ebnf: 'structured output',
  grammar: 'structured output',
  format: 'structured output',
  logprobs: 'logprobs',
  top_logprobs: 'logprobs',
  prompt_logprobs: 'logprobs',
  n: 'n > 1',
  best_of: 'n > 1',
  use_beam_search: 'n > 1',
  echo: 'echo',
  suffix: 'suffix',
  audio: 'more than text',
};
const FLAGS = ['continue_final_message', 'add_generation_prompt'] as const;
const LIMITS = ['max_tokens', 'max_completion_tokens', 'min_tokens'] as const;
const KEYS: ReadonlySet<string> = new Set([...Object.keys(REFUSED), ...FLAGS, ...LIMITS, 'messages', 'prompt', 'stop']);

export type ContinuedBody =
  | {
      readonly kind: 'body';
      readonly scanned: ScannedBody;
      /** The engine must be one that goes on with an assistant's message. */
      readonly needsPrefill: boolean;
      /** The end of the text that was sent and is not in the body: the engine will say it once more. */
      readonly again: string;
    }
  /** All that the caller wanted is sent. */
  | { readonly kind: 'length reached' }
  | { readonly kind: 'refused'; readonly reason: string };

/** `scanned`: the request as it went to the node before. */
export async function continuedBody(scanned: ScannedBody, isChat: boolean, sent: SentText): Promise<ContinuedBody> {
  if (sent.spoilt !== undefined) return refused(sent.spoilt);
  const { bytes } = scanned.source;
  if (bytes.byteLength > MAX_RETRIED_BODY_BYTES) return refused('a large body');
  const scan =
    bytes.byteLength > LARGE_BODY_BYTES ? await scanTopLevelInTurns(bytes, KEYS, nextTurn) : scanTopLevel(bytes, KEYS);
  return build(scanned, scan, isChat, sent);
}

function build(scanned: ScannedBody, scan: ScanResult, isChat: boolean, sent: SentText): ContinuedBody {
  if (!scan.ok) return refused('an ambiguous body');
  const { bytes } = scanned.source;
  const json = (key: string): unknown => {
    const value = scan.values.get(key);
    return value === undefined ? undefined : (JSON.parse(bytes.toString('utf8', value.start, value.end)) as unknown);
  };
  for (const [key, reason] of Object.entries(REFUSED)) if (!asksNothing(key, json(key))) return refused(reason);
  const { text } = sent;
  if (endsInStop(text, json('stop'))) return refused('a stop sequence may have begun');
  const prefilled = isChat
    ? withMessage(scan.values, json, text)
    : withPrompt(scan.values.get('prompt'), json('prompt'), text);
  if (typeof prefilled === 'string') return refused(prefilled);
  const edits: Edit[] = [];
  for (const key of LIMITS) {
    const [value, limit] = [scan.values.get(key), json(key)];
    if (value === undefined || typeof limit !== 'number') continue;
    if (limit <= sent.events && key !== 'min_tokens') return { kind: 'length reached' };
    const left = Math.max(0, limit - sent.eventsBut(prefilled.again));
    edits.push({ start: value.start, end: value.end, bytes: Buffer.from(String(left)) });
  }
  const all = [...prefilled.edits, ...edits];
  return { kind: 'body', scanned: withEdits(scanned, all), needsPrefill: prefilled.needs, again: prefilled.again };
}

interface Prefilled {
  readonly edits: readonly Edit[];
  readonly needs: boolean;
  readonly again: string;
}

/** A word where it cannot be done. */
function withMessage(
  values: ReadonlyMap<string, ScannedValue>,
  json: (key: string) => unknown,
  text: string,
): Prefilled | string {
  // Some chat templates cut white space off a message's end, and the engine would begin with it once more.
  const given = text.trimEnd();
  const again = text.slice(given.length);
  if (given === '') return { edits: [], needs: false, again };
  const [at, messages] = [values.get('messages'), json('messages')];
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  if (at === undefined || typeof last !== 'object' || last === null || !('role' in last)) return 'no messages';
  // Engines differ in whether they go on with it, so nobody knows what was continued.
  if (last.role === 'assistant' || json('continue_final_message') === true) return 'a message begun by the caller';
  const message = JSON.stringify({ role: 'assistant', content: given });
  const edits: Edit[] = [{ start: at.end - 1, end: at.end - 1, bytes: Buffer.from(`,${message}`) }];
  const wanted = { continue_final_message: true, add_generation_prompt: false };
  for (const flag of FLAGS) {
    const value = values.get(flag);
    const setting = String(wanted[flag]);
    if (value === undefined) {
      edits.push({ start: at.keyStart, end: at.keyStart, bytes: Buffer.from(`"${flag}":${setting},`) });
    } else edits.push({ start: value.start, end: value.end, bytes: Buffer.from(setting) });
  }
  return { edits, needs: true, again };
}

function withPrompt(at: ScannedValue | undefined, prompt: unknown, text: string): Prefilled | string {
  const only: unknown = Array.isArray(prompt) && prompt.length === 1 ? prompt[0] : prompt;
  if (at === undefined || typeof only !== 'string') return 'a prompt that is no one text';
  const edits = [{ start: at.start, end: at.end, bytes: Buffer.from(JSON.stringify(only + text)) }];
  return { edits, needs: false, again: '' };
}

function asksNothing(key: string, value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (key === 'n' || key === 'best_of') return value === 1;
  if (key === 'response_format') return (value as { type?: unknown }).type === 'text';
  return value === '';
}

/** Whether the text ends in what may be the beginning of a stop sequence: only the engine that said it knows. */
function endsInStop(text: string, stop: unknown): boolean {
  const stops = (Array.isArray(stop) ? stop : [stop]) as readonly unknown[];
  return stops.some((entry) => {
    if (typeof entry !== 'string') return false;
    for (let length = Math.min(entry.length - 1, text.length); length > 0; length -= 1) {
      if (text.endsWith(entry.slice(0, length))) return true;
    }
    return false;
  });
}

function refused(reason: string): ContinuedBody {
  return { kind: 'refused', reason };
}

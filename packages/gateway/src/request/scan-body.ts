/**
 * What the gateway reads of a body, without parsing it: `model`, `stream`, and whether the caller asked for usage. A body
 * that two readers could understand differently is refused here, so an engine acts on what was checked.
 */
import {
  type ScanFault,
  type ScanResult,
  type ScannedValue,
  scanTopLevel,
  scanTopLevelInTurns,
} from '@subcloud/contract/body-scan';
import { AppError } from '@subcloud/contract/errors';
import { READ_BODY_KEYS } from '@subcloud/contract/inference';
import { isApiId } from '@subcloud/policy/internal-api';
import type { InputModality } from '@subcloud/policy/model-inputs';
import { isModelId } from '@subcloud/contract/vocabulary';
import { inputsOf, inputsOfInTurns } from './inputs-of.ts';
import { DEFAULT_MAX_TOKENS } from './limit.ts';
import { type Preferences, readPreferences } from './preferences.ts';

export interface ScannedBody {
  readonly model: string;
  readonly stream: boolean;
  /** What goes to the node, in order: one piece, unless it is so large that putting the pieces together would take long. */
  readonly pieces: readonly Buffer[];
  readonly byteLength: number;
  /** What all choices of the answer may take together; undefined where the body does not say, or says no number. */
  readonly maxTokens: number | undefined;
  /** The usage event was asked for by the gateway alone: the caller does not get it. */
  readonly hidesUsage: boolean;
  readonly preferences: Preferences;
  /** What is in it besides text; undefined: nothing. */
  readonly inputs: readonly InputModality[] | undefined;
  /** What requests share that an engine may have cached; undefined where it is too short to matter. */
  readonly beginning: Buffer | undefined;
  /** The body as it came, what is changed of it, and where its `model` stands. */
  readonly source: { readonly bytes: Buffer; readonly edits: readonly Edit[]; readonly model: ScannedValue };
}

/** Bytes that are put in the place of others. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly bytes: Buffer;
}

const MAX_STREAM_OPTIONS_BYTES = 4_096;
/** Of a conversation's beginning; shorter ones are not worth a cache. */
const BEGINNING_BYTES = 1_024;
const MIN_BEGINNING_BYTES = 128;
const NO_PREFERENCES: Preferences = {};
const NOTHING = Buffer.alloc(0);
const COMMA = 0x2c;
/** A larger body is read and changed without holding up everything else. */
export const LARGE_BODY_BYTES = 262_144;

/** Throws `client.invalid_body`, `.ambiguous_body`, `.model_required` or `.invalid_request`. */
export function scanBody(bytes: Buffer): ScannedBody {
  const scan = scanTopLevel(bytes, READ_BODY_KEYS);
  const messages = scan.ok ? scan.values.get('messages') : undefined;
  const inputs = messages === undefined ? undefined : inputsOf(bytes, messages.start, messages.end);
  return readScan(bytes, scan, inputs);
}

/** The same, rejecting, for a body over LARGE_BODY_BYTES. */
export async function scanLargeBody(bytes: Buffer, giveWay: () => Promise<void>): Promise<ScannedBody> {
  const scan = await scanTopLevelInTurns(bytes, READ_BODY_KEYS, giveWay);
  const messages = scan.ok ? scan.values.get('messages') : undefined;
  const inputs =
    messages === undefined ? undefined : await inputsOfInTurns(bytes, messages.start, messages.end, giveWay);
  return readScan(bytes, scan, inputs);
}

function readScan(bytes: Buffer, scan: ScanResult, inputs: ScannedBody['inputs']): ScannedBody {
  if (!scan.ok) throw faultOf(scan.reason, scan.key);
  const { values } = scan;
  const named = values.get('model');
  const model = named?.string;
  if (named === undefined || model === undefined) throw new AppError('client.model_required', { param: 'model' });
  // Such a name is in no table, and it must not become a header.
  if (!isModelId(model) || isApiId(model)) throw new AppError('routing.unknown_model', { param: 'model' });
  const streamValue = values.get('stream');
  if (streamValue !== undefined && streamValue.boolean === undefined && !isNull(bytes, streamValue)) {
    throw new AppError('client.invalid_request', { message: '`stream` must be true or false.', param: 'stream' });
  }
  const stream = streamValue?.boolean === true;
  const asked = stream ? askForUsage(bytes, values.get('stream_options')) : undefined;
  const wishes = values.get('subcloud');
  const edits = [...(asked === undefined ? [] : [asked]), ...(wishes === undefined ? [] : [removalOf(bytes, wishes)])];
  const source = { bytes, edits, model: named };
  const preferences = wishes === undefined ? NO_PREFERENCES : readPreferences(bytes.subarray(wishes.start, wishes.end));
  const beginning = beginningOf(bytes, values);
  const maxTokens = maxTokensOf(bytes, values);
  const hidesUsage = asked !== undefined;
  return { model, stream, maxTokens, hidesUsage, preferences, inputs, beginning, source, ...piecesOf(source) };
}

/** The caller's own key, else the first bytes of the conversation. */
function beginningOf(bytes: Buffer, values: ReadonlyMap<string, ScannedValue>): Buffer | undefined {
  const key = values.get('prompt_cache_key');
  if (key?.string !== undefined) return bytes.subarray(key.start, Math.min(key.end, key.start + BEGINNING_BYTES));
  const text = values.get('messages') ?? values.get('prompt');
  if (text === undefined || text.end - text.start < MIN_BEGINNING_BYTES) return undefined;
  return bytes.subarray(text.start, Math.min(text.end, text.start + BEGINNING_BYTES));
}

/** The member with the comma that belongs to it; `model` stands too, so there is one. */
function removalOf(bytes: Buffer, { keyStart, end }: ScannedValue): Edit {
  const isSpace = (byte: number | undefined): boolean =>
    byte === 0x20 || (byte !== undefined && byte >= 9 && byte <= 13);
  let after = end;
  while (isSpace(bytes[after])) after += 1;
  if (bytes[after] === COMMA) return { start: keyStart, end: after + 1, bytes: NOTHING };
  let before = keyStart - 1;
  while (isSpace(bytes[before])) before -= 1;
  return { start: before, end, bytes: NOTHING };
}

/** The same body for the network id that an alias stands for. */
export function withModel(scanned: ScannedBody, model: string): ScannedBody {
  return withEdits({ ...scanned, model }, []);
}

/** The same body with more of it changed; `more` overlaps nothing that is changed already. */
export function withEdits(scanned: ScannedBody, more: readonly Edit[]): ScannedBody {
  const { bytes, edits, model: named } = scanned.source;
  const { start, end } = named;
  const isNamed = named.string === scanned.model;
  const model = isNamed ? [] : [{ start, end, bytes: Buffer.from(JSON.stringify(scanned.model)) }];
  return { ...scanned, ...piecesOf({ bytes, edits: [...more, ...edits, ...model] }) };
}

function piecesOf(source: Pick<ScannedBody['source'], 'bytes' | 'edits'>): Pick<ScannedBody, 'pieces' | 'byteLength'> {
  const { bytes, edits } = source;
  if (edits.length === 0) return { pieces: [bytes], byteLength: bytes.byteLength };
  const pieces: Buffer[] = [];
  let at = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    pieces.push(bytes.subarray(at, edit.start), edit.bytes);
    at = edit.end;
  }
  pieces.push(bytes.subarray(at));
  const byteLength = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  return { pieces: byteLength > LARGE_BODY_BYTES ? pieces : [Buffer.concat(pieces, byteLength)], byteLength };
}

/** More than any answer has, and small enough to count with. */
const MOST_TOKENS = 1_000_000_000;
const WHOLE_NUMBER = /^\d{1,9}$/;

function maxTokensOf(bytes: Buffer, values: ReadonlyMap<string, ScannedValue>): number | undefined {
  const numberOf = (key: string): number | undefined => {
    const value = values.get(key);
    if (value === undefined || value.end - value.start > 9) return undefined;
    const text = bytes.toString('latin1', value.start, value.end);
    return WHOLE_NUMBER.test(text) ? Number(text) : undefined;
  };
  const max = numberOf('max_completion_tokens') ?? numberOf('max_tokens');
  const choices = Math.max(1, numberOf('n') ?? 1);
  if (max === undefined && choices === 1) return undefined;
  return Math.min(MOST_TOKENS, (max ?? DEFAULT_MAX_TOKENS) * choices);
}

function isNull(bytes: Buffer, { start, end }: ScannedValue): boolean {
  return bytes.toString('latin1', start, end) === 'null';
}

const ASK = Buffer.from('"stream_options":{"include_usage":true},');

/** What sets `stream_options.include_usage`; undefined where the caller set it already. */
function askForUsage(bytes: Buffer, options: ScannedValue | undefined): Edit | undefined {
  if (options === undefined) {
    // The body has at least `model`, so a comma may follow.
    const first = bytes.indexOf('{') + 1;
    return { start: first, end: first, bytes: ASK };
  }
  const { start, end } = options;
  const wrong = new AppError('client.invalid_request', {
    message: '`stream_options` must be an object.',
    param: 'stream_options',
  });
  if (end - start > MAX_STREAM_OPTIONS_BYTES) throw wrong;
  const given: unknown = JSON.parse(bytes.toString('utf8', start, end));
  if (given !== null && (typeof given !== 'object' || Array.isArray(given))) throw wrong;
  if (given !== null && (given as Record<string, unknown>)['include_usage'] === true) return undefined;
  const changed = JSON.stringify({ ...given, include_usage: true });
  return { start, end, bytes: Buffer.from(changed) };
}

function faultOf(reason: ScanFault, key: string | undefined): AppError {
  const param = key === undefined ? {} : { param: key };
  switch (reason) {
    case 'duplicate_key':
      return new AppError('client.ambiguous_body', {
        message: `The key \`${key ?? ''}\` stands twice in the body.`,
        ...param,
      });
    case 'case_variant':
      return new AppError('client.ambiguous_body', {
        message: `The body has a key that some engines read as \`${key ?? ''}\`.`,
        ...param,
      });
    case 'not_json':
    case 'not_object':
    case 'invalid_utf8':
      return new AppError('client.invalid_body');
    case 'too_deep':
      return new AppError('client.invalid_body', { message: 'The body nests too deeply.' });
    case 'too_long':
      return new AppError('client.invalid_body', { message: 'A key, a number or a gap in the body is too long.' });
  }
}

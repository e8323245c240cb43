/**
 * One pass over the bytes of a JSON body: is it one valid JSON object, and where are the values of the few top-level
 * keys that somebody on the way reads? Nothing else of it is decoded, copied or kept.
 *
 * Engines do not all read an object alike: of two equal keys some take the first and some the last, and some take
 * `MODEL` for `model`. A body that two readers could understand differently is refused, so that what is checked here is
 * what the engine acts on.
 *
 * It runs on every request, and on bodies made to hurt. It does all by itself, since JSON.parse beside it would double
 * the work (bench/body-scan.ts: as fast at 1 KB, slower at 1 MB), would still not show a key that stands twice, and
 * makes many times a body's size of objects out of `[[],[],…`.
 */
import { KeyTable } from './body-key.ts';
import { BACKSLASH, CLOSE_BRACE, COMMA, JsonCursor, OPEN_BRACE, QUOTE } from './json-cursor.ts';

export const MAX_BODY_DEPTH = 256;
/** Longer strings under a read key stay undecoded. */
export const MAX_READ_STRING_BYTES = 65_536;

export interface ScanLimits {
  /** Objects and arrays inside each other, the body itself counted; at most 4,096. */
  readonly maxDepth?: number;
  readonly maxStringBytes?: number;
}

/** One member of the body, as byte offsets into it. */
export interface ScannedValue {
  /** Of the key's opening quote. */
  readonly keyStart: number;
  readonly start: number;
  /** After the value's last byte. */
  readonly end: number;
  /** Set where the value is a string of at most `maxStringBytes`. */
  readonly string?: string;
  /** Set where the value is true or false. */
  readonly boolean?: boolean;
}

export type ScanFault =
  | 'not_json'
  | 'not_object'
  | 'duplicate_key'
  | 'case_variant'
  | 'too_deep'
  | 'invalid_utf8'
  /** A key, number or gap beyond what json-cursor.ts takes. */
  | 'too_long';

export type ScanResult =
  | { readonly ok: true; readonly values: ReadonlyMap<string, ScannedValue> }
  /** The first fault in the order of the bytes, and where. `key` is the read key that is doubled or imitated. */
  | { readonly ok: false; readonly reason: ScanFault; readonly key?: string; readonly offset: number };

const tables = new WeakMap<ReadonlySet<string>, KeyTable>();

/**
 * `keys`: the exact names that are read, in ASCII and different even without regard to case. The set is compiled once
 * and must not change afterwards. Whatever the body's bytes are, the answer is a result and never a throw.
 */
export function scanTopLevel(body: Uint8Array, keys: ReadonlySet<string>, limits: ScanLimits = {}): ScanResult {
  const { maxDepth = MAX_BODY_DEPTH } = limits;
  return finish(scanning(new JsonCursor(body, maxDepth), body, keys, limits));
}

/** Bytes of hostile JSON that take about a millisecond to step over. */
const BYTES_A_TURN = 131_072;

/**
 * The same, for bodies that could hold the process: whoever awaits it gives way to others every BYTES_A_TURN. `body`
 * must not change meanwhile. `giveWay` resolves when it is this scan's turn again.
 */
export async function scanTopLevelInTurns(
  body: Uint8Array,
  keys: ReadonlySet<string>,
  giveWay: () => Promise<void>,
  limits: ScanLimits & { readonly bytesATurn?: number } = {},
): Promise<ScanResult> {
  const { maxDepth = MAX_BODY_DEPTH, bytesATurn = BYTES_A_TURN } = limits;
  const cursor = new JsonCursor(body, maxDepth, true);
  cursor.pauseAt = bytesATurn;
  const steps = scanning(cursor, body, keys, limits);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    await giveWay();
    cursor.pauseAt = cursor.at + bytesATurn;
  }
}

function finish(steps: Generator<void, ScanResult>): ScanResult {
  const step = steps.next();
  // A cursor that never pauses comes to its end in one step.
  return step.done === true ? step.value : refusal('not_json', 0);
}

/** Yields where the cursor pauses. */
function* scanning(
  cursor: JsonCursor,
  body: Uint8Array,
  keys: ReadonlySet<string>,
  { maxStringBytes = MAX_READ_STRING_BYTES }: ScanLimits,
): Generator<void, ScanResult> {
  const table = tableOf(keys);
  const values = new Map<string, ScannedValue>();
  cursor.skipSpace();
  if (cursor.peek() !== OPEN_BRACE) return refusal(mayStartValue(cursor.peek()) ? 'not_object' : 'not_json', cursor.at);
  if (!cursor.enter(CLOSE_BRACE)) return refusal(cursor.fault, cursor.at);
  cursor.skipSpace();
  let more = !cursor.take(CLOSE_BRACE);
  while (more) {
    const keyStart = cursor.at;
    if (!cursor.skipKey()) return refusal(cursor.fault, cursor.at);
    const match = table.find(body, keyStart + 1, cursor.at - 1);
    if (match !== undefined && !match.exact) return refusal('case_variant', keyStart, match.key);
    if (match !== undefined && values.has(match.key)) return refusal('duplicate_key', keyStart, match.key);
    if (!cursor.skipColon()) return refusal(cursor.fault, cursor.at);
    const start = cursor.at;
    while (!cursor.skipValue(1)) {
      if (!cursor.paused) return refusal(cursor.fault, cursor.at);
      yield;
    }
    if (match !== undefined) values.set(match.key, { keyStart, ...read(body, start, cursor.at, maxStringBytes) });
    cursor.skipSpace();
    more = !cursor.take(CLOSE_BRACE);
    if (more && !cursor.take(COMMA)) return refusal('not_json', cursor.at);
    cursor.skipSpace();
  }
  cursor.skipSpace();
  return cursor.at === body.length ? { ok: true, values } : refusal('not_json', cursor.at);
}

/** The body with `jsonText`, which must be valid JSON, in the place of a scanned value. */
export function spliceValue(body: Uint8Array, start: number, end: number, jsonText: string): Uint8Array {
  return replaceBytes(body, start, end, encoder.encode(jsonText));
}

/**
 * The body without a scanned member and the comma that belongs to it. Offsets of members after it no longer hold: edit
 * from the back to the front, or scan again.
 */
export function removeMember(body: Uint8Array, member: Pick<ScannedValue, 'keyStart' | 'end'>): Uint8Array {
  const after = skipSpaceFrom(body, member.end);
  if (body[after] === COMMA) return replaceBytes(body, member.keyStart, skipSpaceFrom(body, after + 1), NO_BYTES);
  // The last member: the comma before it goes, unless it is the only one.
  let before = member.keyStart;
  while (isSpace(body[before - 1])) before--;
  return replaceBytes(body, body[before - 1] === COMMA ? before - 1 : member.keyStart, member.end, NO_BYTES);
}

const NO_BYTES = new Uint8Array(0);
const encoder = new TextEncoder();
// A byte order mark at the start of a string is part of the string.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function tableOf(keys: ReadonlySet<string>): KeyTable {
  const known = tables.get(keys);
  if (known !== undefined) return known;
  const table = new KeyTable(keys);
  tables.set(keys, table);
  return table;
}

function read(body: Uint8Array, start: number, end: number, maxStringBytes: number): Omit<ScannedValue, 'keyStart'> {
  const first = body[start];
  if (first === SMALL_T || first === SMALL_F) return { start, end, boolean: first === SMALL_T };
  if (first !== QUOTE || end - start - 2 > maxStringBytes) return { start, end };
  const inside = body.subarray(start + 1, end - 1);
  if (!inside.includes(BACKSLASH)) return { start, end, string: decoder.decode(inside) };
  const string: unknown = JSON.parse(decoder.decode(body.subarray(start, end)));
  return typeof string === 'string' ? { start, end, string } : { start, end };
}

function replaceBytes(body: Uint8Array, start: number, end: number, bytes: Uint8Array): Uint8Array {
  const edited = new Uint8Array(body.length - (end - start) + bytes.length);
  edited.set(body.subarray(0, start));
  edited.set(bytes, start);
  edited.set(body.subarray(end), start + bytes.length);
  return edited;
}

function refusal(reason: ScanFault, offset: number, key?: string): ScanResult {
  return key === undefined ? { ok: false, reason, offset } : { ok: false, reason, offset, key };
}

function skipSpaceFrom(body: Uint8Array, from: number): number {
  let at = from;
  while (isSpace(body[at])) at++;
  return at;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

const SMALL_T = 0x74;
const SMALL_F = 0x66;
const VALUE_STARTS = new Set(Array.from('["-0123456789tfn', (char) => char.charCodeAt(0)));

function mayStartValue(byte: number): boolean {
  return VALUE_STARTS.has(byte);
}

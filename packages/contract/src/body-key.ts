/**
 * Is the key at these bytes one that somebody reads, or one that some reader would take for it? Keys are compared after
 * decoding, since `"\u006dodel"` is `model`, and without regard to case, since Go's encoding/json, cJSON and others
 * disregard it. Imitations are found more widely than any one engine accepts them: an honest caller loses nothing.
 */
import { BACKSLASH } from './json-cursor.ts';

export interface KeyMatch {
  readonly key: string;
  /** False where the key is another than `key` and some reader may take it for that. */
  readonly exact: boolean;
}

/**
 * What is not ASCII and becomes ASCII when its case is folded: by Unicode's simple folding (Go's EqualFold), by full
 * folding, or where only lowering or only raising does it. A test goes through all of Unicode.
 */
const FOLDED: ReadonlyMap<number, string> = new Map([
  [0xdf, 'ss'],
  [0x130, 'i'],
  [0x131, 'i'],
  [0x17f, 's'],
  [0x1e9e, 'ss'],
  [0x212a, 'k'],
  [0xfb00, 'ff'],
  [0xfb01, 'fi'],
  [0xfb02, 'fl'],
  [0xfb03, 'ffi'],
  [0xfb04, 'ffl'],
  [0xfb05, 'st'],
  [0xfb06, 'st'],
]);
const MAX_FOLDED_LENGTH = 3;

/** Two-byte escapes to what they mean. */
const UNESCAPED = new Uint8Array(256);
for (const [escape, meant] of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t']) {
  UNESCAPED[(escape ?? '').charCodeAt(0)] = (meant ?? '').charCodeAt(0);
}

const SMALL_U = 0x75;
/** Stands for any character that is in no key. */
const OTHER = 0xffff;

export class KeyTable {
  readonly #keys: readonly { readonly key: string; readonly units: Uint16Array; readonly folded: Uint16Array }[];
  readonly #maxLength: number;
  /** The key under comparison, as far as it can matter: characters, and the same with their case folded. */
  readonly #units: Uint16Array;
  readonly #folded: Uint16Array;

  /** Throws RangeError for keys that are not printable ASCII, or equal without regard to case. */
  constructor(keys: ReadonlySet<string>) {
    const faulty = [...keys].find((key) => !/^[\x20-\x7e]+$/.test(key));
    if (faulty !== undefined) throw new RangeError(`a body key is printable ASCII, unlike ${JSON.stringify(faulty)}`);
    if (new Set([...keys].map((key) => key.toLowerCase())).size < keys.size) {
      throw new RangeError('two body keys are equal without regard to case');
    }
    this.#keys = [...keys].map((key) => ({ key, units: unitsOf(key), folded: unitsOf(key.toLowerCase()) }));
    this.#maxLength = Math.max(0, ...[...keys].map((key) => key.length));
    this.#units = new Uint16Array(this.#maxLength + 1);
    this.#folded = new Uint16Array(this.#maxLength + MAX_FOLDED_LENGTH);
  }

  /** `start` and `end` enclose the bytes between the quotes of a valid JSON string. Reads no more than can matter. */
  find(body: Uint8Array, start: number, end: number): KeyMatch | undefined {
    const maxLength = this.#maxLength;
    const units = this.#units;
    const folded = this.#folded;
    let length = 0;
    let foldedLength = 0;
    let cutShort = false;
    for (let at = start; at < end; ) {
      // Longer than every key already.
      if (foldedLength > maxLength) return undefined;
      const unit = unitAt(body, at);
      at += unitBytes(body, at);
      // Readers in C end a key at a NUL, so what stands before it may be taken for the whole.
      cutShort = unit === 0;
      if (cutShort) break;
      units[length++] = unit;
      if (unit < 0x80) folded[foldedLength++] = unit >= 0x41 && unit <= 0x5a ? unit + 0x20 : unit;
      else for (const char of FOLDED.get(unit) ?? '\uffff') folded[foldedLength++] = char.charCodeAt(0);
    }
    for (const known of this.#keys) {
      if (!equals(folded, foldedLength, known.folded)) continue;
      return { key: known.key, exact: !cutShort && equals(units, length, known.units) };
    }
    return undefined;
  }
}

/** The character at `at`, or OTHER for one beyond the basic plane, which folds to none in a key. */
function unitAt(body: Uint8Array, at: number): number {
  const byte = body[at] ?? 0;
  if (byte === BACKSLASH) {
    const kind = body[at + 1] ?? 0;
    return kind === SMALL_U ? hexAt(body, at + 2) : (UNESCAPED[kind] ?? 0);
  }
  if (byte < 0x80) return byte;
  const second = (body[at + 1] ?? 0) & 0x3f;
  if (byte < 0xe0) return ((byte & 0x1f) << 6) | second;
  return byte < 0xf0 ? ((byte & 0x0f) << 12) | (second << 6) | ((body[at + 2] ?? 0) & 0x3f) : OTHER;
}

function unitBytes(body: Uint8Array, at: number): number {
  const byte = body[at] ?? 0;
  if (byte === BACKSLASH) return body[at + 1] === SMALL_U ? 6 : 2;
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

function hexAt(body: Uint8Array, from: number): number {
  let value = 0;
  for (let at = from; at < from + 4; at++) {
    const byte = body[at] ?? 0;
    // The digits' low nibbles count from 0, those of the letters from 1, in either case.
    value = value * 16 + (byte & 0x0f) + (byte > 0x39 ? 9 : 0);
  }
  return value;
}

function equals(units: Uint16Array, length: number, wanted: Uint16Array): boolean {
  if (length !== wanted.length) return false;
  for (let index = 0; index < length; index++) if (units[index] !== wanted[index]) return false;
  return true;
}

function unitsOf(text: string): Uint16Array {
  return Uint16Array.from(text, (char) => char.charCodeAt(0));
}

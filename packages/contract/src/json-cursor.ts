/**
 * Steps over JSON on its bytes without reading it: each skip proves that what it passed is valid (RFC 8259, and UTF-8
 * as Unicode's table 3-7 has it), allocates nothing and never recurses. A skip that answers false has set `fault`, with
 * `at` on the byte that is wrong, and ends the cursor's use; unless it set `paused`, which goes on with the next skip.
 */
export type JsonFault = 'not_json' | 'too_deep' | 'invalid_utf8' | 'too_long';

export const QUOTE = 0x22;
export const COMMA = 0x2c;
const COLON = 0x3a;
export const BACKSLASH = 0x5c;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const ZERO = 0x30;
const CAPITAL_E = 0x45;
const SMALL_E = 0x65;
const SMALL_U = 0x75;

export const MAX_DEPTH_LIMIT = 4_096;
/**
 * What no pause can interrupt, so that a body made to hurt cannot hold the process with it: no API has such keys or
 * numbers, and no program indents so far.
 */
export const MAX_KEY_BYTES = 65_536;
export const MAX_NUMBER_DIGITS = 65_536;
export const MAX_SPACE_BYTES = 1_048_576;

/** Bytes that stand for themselves inside a string: printable ASCII without quote and backslash, and DEL. */
const PLAIN = new Uint8Array(256).fill(1, 0x20, 0x80);
PLAIN[QUOTE] = 0;
PLAIN[BACKSLASH] = 0;

/** What may follow a backslash, `u` apart. */
const ESCAPED = new Uint8Array(256);
for (const char of '"\\/bfnrt') ESCAPED[char.charCodeAt(0)] = 1;

const HEX = new Uint8Array(256);
for (const char of '0123456789abcdefABCDEF') HEX[char.charCodeAt(0)] = 1;

/** The closing bracket that each open container waits for. Shared: a scan without pauses ends before another can begin. */
const sharedClosers = new Uint8Array(MAX_DEPTH_LIMIT);

/** A string that is plain for so long is a text, and goes on by words; a shorter one would pay for the change. */
const WORDS_AFTER_BYTES = 16;

export class JsonCursor {
  readonly #body: Uint8Array;
  readonly #maxDepth: number;
  /** The body as 32-bit words, where it lies on a word's boundary and is long enough to gain from them. */
  readonly #words: Int32Array | undefined;
  readonly #closers: Uint8Array;
  #depth = 0;
  /** The pause was inside a string that is a value. */
  #inString = false;
  at = 0;
  fault: JsonFault = 'not_json';
  /** Where a skip of a value stops, soon after; Infinity for never. */
  pauseAt = Number.POSITIVE_INFINITY;
  /** The last skip stopped for a pause: the same skip goes on where it was. */
  paused = false;

  constructor(body: Uint8Array, maxDepth: number, pauses = false) {
    if (!(maxDepth >= 1 && maxDepth <= MAX_DEPTH_LIMIT)) throw new RangeError(`maxDepth is 1 to ${MAX_DEPTH_LIMIT}`);
    this.#body = body;
    this.#maxDepth = maxDepth;
    this.#closers = pauses ? new Uint8Array(maxDepth) : sharedClosers;
    const fits = body.length > 2 * WORDS_AFTER_BYTES && body.byteOffset % 4 === 0;
    this.#words = fits ? new Int32Array(body.buffer, body.byteOffset, body.length >> 2) : undefined;
  }

  /** The byte under the cursor; 0, which no JSON contains outside of faults, at the end. */
  peek(): number {
    return this.#body[this.at] ?? 0;
  }

  /** Steps over `byte` if it is next. */
  take(byte: number): boolean {
    if (this.peek() !== byte) return false;
    this.at++;
    return true;
  }

  skipSpace(): void {
    const body = this.#body;
    let at = this.at;
    // Bodies made by programs have none between most tokens.
    if ((body[at] ?? 0) > 0x20) return;
    const end = at + MAX_SPACE_BYTES;
    for (let byte = body[at]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = body[at]) {
      at++;
      // What follows is a space where no caller expects one.
      if (at > end) break;
    }
    this.at = at;
  }

  /** Opens an object or array that is closed by `closer`. */
  enter(closer: number): boolean {
    if (this.#depth >= this.#maxDepth) return this.#fail(this.at, 'too_deep');
    this.#closers[this.#depth++] = closer;
    this.at++;
    return true;
  }

  /** A key, from its opening quote to after its closing one. */
  skipKey(): boolean {
    if (this.peek() !== QUOTE) return this.#fail(this.at, 'not_json');
    const start = this.at++;
    return this.#skipString(start + MAX_KEY_BYTES) || (this.paused && this.#tooLong(start));
  }

  /**
   * A value, from its first byte to after its last, with all that it contains. `outside` is how many containers are open
   * around it, the same after a pause.
   */
  skipValue(outside: number): boolean {
    this.paused = false;
    for (;;) {
      if (this.at >= this.pauseAt) return this.#pause();
      const byte = this.peek();
      let complete = true;
      if (this.#inString || byte === QUOTE) {
        if (!this.#inString) this.at++;
        this.#inString = false;
        if (!this.#skipString(this.pauseAt)) {
          this.#inString = this.paused;
          return false;
        }
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        const closer = byte === OPEN_BRACE ? CLOSE_BRACE : CLOSE_BRACKET;
        if (!this.enter(closer)) return false;
        this.skipSpace();
        complete = this.peek() === closer;
        if (!complete && closer === CLOSE_BRACE && !this.#skipKeyAndColon()) return false;
      } else if (!this.#skipNumberOrWord(byte)) return false;
      if (!complete) continue;
      if (!this.#leaveClosed(outside)) return false;
      if (this.#depth === outside) return true;
    }
  }

  /** From inside a string to after its closing quote, or a pause soon after `stopAt`. */
  #skipString(stopAt: number): boolean {
    const body = this.#body;
    const length = body.length;
    let at = this.at;
    while (at < length) {
      at = this.#skipPlain(at, stopAt);
      if (at >= stopAt) {
        this.at = at;
        return this.#pause();
      }
      const byte = body[at];
      if (byte === QUOTE) {
        this.at = at + 1;
        return true;
      }
      let step: number;
      if (byte === BACKSLASH) step = escapeLength(body, at);
      else if (byte !== undefined && byte >= 0x80) step = utf8Length(body, at);
      else break;
      if (step === 0) return this.#fail(at, byte === BACKSLASH ? 'not_json' : 'invalid_utf8');
      at += step;
    }
    return this.#fail(at, 'not_json');
  }

  #pause(): false {
    this.paused = true;
    return false;
  }

  #tooLong(start: number): false {
    this.paused = false;
    return this.#fail(start, 'too_long');
  }

  /** From after a key to the first byte of its value. */
  skipColon(): boolean {
    this.skipSpace();
    if (!this.take(COLON)) return this.#fail(this.at, 'not_json');
    this.skipSpace();
    return true;
  }

  #skipKeyAndColon(): boolean {
    return this.skipKey() && this.skipColon();
  }

  /** After a complete value: closes what ends here, down to `outside`, else moves on to the next value. */
  #leaveClosed(outside: number): boolean {
    // An empty container is entered but its closer still ahead, exactly as after a last member.
    while (this.#depth > outside) {
      this.skipSpace();
      const closer = this.#closers[this.#depth - 1];
      if (this.peek() === closer) {
        this.at++;
        this.#depth--;
        continue;
      }
      if (!this.take(COMMA)) return this.#fail(this.at, 'not_json');
      this.skipSpace();
      return closer === CLOSE_BRACKET || this.#skipKeyAndColon();
    }
    return true;
  }

  /** To the first byte at or after `from` that does not stand for itself, or to `stopAt`. */
  #skipPlain(from: number, stopAt: number): number {
    const body = this.#body;
    const words = this.#words;
    const end = Math.min(stopAt, body.length);
    let at = from;
    const wordsFrom = words === undefined ? end : Math.min((from + WORDS_AFTER_BYTES) & ~3, end);
    while (at < wordsFrom && PLAIN[body[at] ?? 0] === 1) at++;
    if (at < wordsFrom || words === undefined || at >= end) return at;
    at = skipPlainWords(words, at >> 2, end >> 2) << 2;
    while (at < end && PLAIN[body[at] ?? 0] === 1) at++;
    return at;
  }

  #skipNumberOrWord(first: number): boolean {
    if (first === MINUS || isDigit(first)) return this.#skipNumber();
    const word = first === 0x74 ? 'true' : first === 0x66 ? 'false' : first === 0x6e ? 'null' : undefined;
    if (word === undefined) return this.#fail(this.at, 'not_json');
    for (let index = 0; index < word.length; index++) {
      if (!this.take(word.charCodeAt(index))) return this.#fail(this.at, 'not_json');
    }
    return true;
  }

  #skipNumber(): boolean {
    this.take(MINUS);
    // A zero stands alone before the point: 01 is no JSON.
    if (!this.take(ZERO) && !this.#skipDigits()) return false;
    if (this.take(POINT) && !this.#skipDigits()) return false;
    if (this.take(SMALL_E) || this.take(CAPITAL_E)) {
      if (!this.take(MINUS)) this.take(PLUS);
      return this.#skipDigits();
    }
    return true;
  }

  /** At least one. */
  #skipDigits(): boolean {
    const body = this.#body;
    let at = this.at;
    const end = at + MAX_NUMBER_DIGITS;
    while (isDigit(body[at] ?? 0)) if (++at > end) return this.#fail(this.at, 'too_long');
    if (at === this.at) return this.#fail(at, 'not_json');
    this.at = at;
    return true;
  }

  #fail(at: number, fault: JsonFault): false {
    this.at = at;
    this.fault = fault;
    return false;
  }
}

/**
 * The first word at or after `from` with a byte that does not stand for itself, or `end`. A subtraction borrows from
 * the next byte only out of a byte that is marked itself, so no such word is missed; the byte loop after it decides.
 */
function skipPlainWords(words: Int32Array, from: number, end: number): number {
  let at = from;
  for (; at < end; at++) {
    const word = words[at] ?? 0;
    // Per byte, the top bit comes out set below 0x20, on a quote and on a backslash; one that was set stays set.
    const special = (word - 0x20202020) | ((word ^ 0x22222222) - 0x01010101) | ((word ^ 0x5c5c5c5c) - 0x01010101);
    if ((special & 0x80808080) !== 0) break;
  }
  return at;
}

/** Bytes of the escape at `at`, 0 if it is none. */
function escapeLength(body: Uint8Array, at: number): number {
  const kind = body[at + 1] ?? 0;
  if (ESCAPED[kind] === 1) return 2;
  if (kind !== SMALL_U) return 0;
  for (let index = at + 2; index < at + 6; index++) if (HEX[body[index] ?? 0] !== 1) return 0;
  return 6;
}

/** Bytes of the character at `at`, which is not ASCII; 0 if it is overlong, a surrogate, out of range or cut short. */
function utf8Length(body: Uint8Array, at: number): number {
  const lead = body[at] ?? 0;
  const second = body[at + 1] ?? 0;
  if (lead < 0xc2 || (second & 0xc0) !== 0x80) return 0;
  if (lead < 0xe0) return 2;
  if (((body[at + 2] ?? 0) & 0xc0) !== 0x80) return 0;
  if (lead < 0xf0) return (lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f) ? 0 : 3;
  if (((body[at + 3] ?? 0) & 0xc0) !== 0x80) return 0;
  return lead > 0xf4 || (lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f) ? 0 : 4;
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= 0x39;
}

/**
 * Tokens counted from bytes, where an engine does not say or a stream was cut short. Four bytes a token is the usual
 * figure for English under today's tokenisers; engines send at least one token an event. Records say `estimated`.
 */
const BYTES_PER_TOKEN = 4;

export function estimateTokens(textBytes: number): number {
  return Math.ceil(textBytes / BYTES_PER_TOKEN);
}

const TEXT_KEYS = ['"content":', '"reasoning_content":', '"arguments":', '"text":'].map((key) => Buffer.from(key));
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;

/** Bytes of generated text in one event, or in a whole answer, found without parsing it. */
export function textBytes(bytes: Buffer): number {
  let total = 0;
  for (const key of TEXT_KEYS) {
    for (let at = bytes.indexOf(key); at !== -1; at = bytes.indexOf(key, at)) {
      at = skipSpace(bytes, at + key.byteLength);
      if (bytes[at] !== QUOTE) continue;
      const length = stringBytes(bytes, at, bytes.byteLength);
      total += length;
      at += length + 1;
    }
  }
  return total;
}

/** Where an event has its text: the key, and how far from the event's start the quote is that opens the value. */
export interface TextPlace {
  readonly key: Buffer;
  readonly offset: number;
}

/** Of the first text in the event; undefined where it has none. */
export function textPlace(event: Buffer): TextPlace | undefined {
  for (const key of TEXT_KEYS) {
    const at = event.indexOf(key);
    if (at === -1) continue;
    const offset = skipSpace(event, at + key.byteLength);
    if (event[offset] === QUOTE) return { key, offset };
  }
  return undefined;
}

/**
 * Bytes of the text of the event from `start` to `end`, where it stands at the same place as in an event before; -1 where
 * it does not. All events of a stream begin alike, so that looking is nearly always enough, and nothing is searched: an
 * unescaped quote with the key before it is inside no string.
 */
export function textBytesAt(bytes: Buffer, start: number, end: number, { key, offset }: TextPlace): number {
  const quote = start + offset;
  if (quote >= end || bytes[quote] !== QUOTE) return -1;
  let at = quote - 1;
  while (at > start && bytes[at] === SPACE) at -= 1;
  for (let index = key.byteLength - 1; index >= 0; index -= 1, at -= 1) if (bytes[at] !== key[index]) return -1;
  return stringBytes(bytes, quote, end);
}

/** From the quote at `open` to the one that closes it, or to `end`. */
function stringBytes(bytes: Buffer, open: number, end: number): number {
  let at = open + 1;
  while (at < end && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return Math.max(0, Math.min(at, end) - open - 1);
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] === SPACE) at += 1;
  return at;
}

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
      let start = at + key.byteLength;
      while (bytes[start] === SPACE) start += 1;
      at = start;
      if (bytes[start] !== QUOTE) continue;
      let end = start + 1;
      while (end < bytes.byteLength && bytes[end] !== QUOTE) end += bytes[end] === BACKSLASH ? 2 : 1;
      total += Math.max(0, Math.min(end, bytes.byteLength) - start - 1);
      at = end;
    }
  }
  return total;
}

/** Finds the engine's own token counts in JSON that is not parsed as a whole. */
export interface TokenCounts {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

const USAGE_KEY = Buffer.from('"usage"');
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const COLON = 0x3a;
/** A usage object with its details; what is longer is none. */
const MAX_USAGE_BYTES = 4_096;

/**
 * Offset of the `{` of the last `"usage": {…}`, or -1. Inside a JSON string the quotes would be escaped, so a model's
 * text never passes for it. `"usage": null`, which many engines send with each event, is none.
 */
export function findUsage(bytes: Buffer): number {
  for (let at = bytes.lastIndexOf(USAGE_KEY); at !== -1; at = at === 0 ? -1 : bytes.lastIndexOf(USAGE_KEY, at - 1)) {
    let next = skipSpace(bytes, at + USAGE_KEY.byteLength);
    if (bytes[next] !== COLON) continue;
    next = skipSpace(bytes, next + 1);
    if (bytes[next] === OPEN_BRACE) return next;
  }
  return -1;
}

/** The counts of the object that begins at `start`, or undefined. */
export function readUsage(bytes: Buffer, start: number): TokenCounts | undefined {
  let depth = 0;
  const limit = Math.min(bytes.byteLength, start + MAX_USAGE_BYTES);
  for (let at = start; at < limit; at += 1) {
    // Strings with braces do not occur in usage objects; if one does, parsing fails, and the counts are estimated.
    if (bytes[at] === OPEN_BRACE) depth += 1;
    if (bytes[at] === CLOSE_BRACE) depth -= 1;
    if (depth === 0) return parseUsage(bytes.toString('utf8', start, at + 1));
  }
  return undefined;
}

function parseUsage(text: string): TokenCounts | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = value as Record<string, unknown>;
  // Embeddings have no completion, and their usage does not name one.
  const completed = completionTokens ?? 0;
  return isCount(promptTokens) && isCount(completed) ? { promptTokens, completionTokens: completed } : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at += 1;
  return at;
}

/**
 * Puts the network id back where an engine wrote its own name: the value of the top-level key `model` of a JSON answer,
 * or of each event of an event stream. It works on bytes as they come, however they are cut into chunks, holds nothing
 * back, and passes everything else through as it is, also what is not JSON.
 */
import { TopLevelModelScanner } from './top-level-model-scanner.ts';

export type RewrittenForm = 'json' | 'events';

/** The form of an answer by its content type, or undefined where there is nothing to rewrite. */
export function rewrittenForm(contentType: string | undefined): RewrittenForm | undefined {
  const type = contentType?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (type === 'text/event-stream') return 'events';
  return type === 'application/json' || type.endsWith('+json') ? 'json' : undefined;
}

/** Takes each chunk in turn and answers what goes on in its place; may be empty. */
export function createModelRewriter(form: RewrittenForm, networkId: string): (chunk: Buffer) => Buffer {
  const replacement = Buffer.from(JSON.stringify(networkId));
  const json = new TopLevelModelScanner();
  const lines = form === 'events' ? new DataLines() : undefined;

  return (chunk) => {
    const out: Buffer[] = [];
    let from = json.dropping ? chunk.byteLength : 0;
    for (let at = 0; at < chunk.byteLength; at++) {
      const byte = chunk[at] ?? 0;
      if (lines !== undefined) {
        const part = lines.take(byte);
        if (part !== IN_DATA) {
          // No JSON string spans a line: what looked like one is broken, and the line's end is not part of it.
          if (json.dropping) {
            json.reset();
            from = at;
          }
          if (part === EVENT_END) json.reset();
          continue;
        }
      }
      const wasDropping = json.dropping;
      json.take(byte);
      if (json.dropping === wasDropping) continue;
      if (json.dropping) {
        if (at > from) out.push(chunk.subarray(from, at));
        out.push(replacement);
        from = chunk.byteLength;
      } else {
        from = at + 1;
      }
    }
    if (from === 0) return chunk;
    if (from < chunk.byteLength) out.push(chunk.subarray(from));
    return Buffer.concat(out);
  };
}

const OTHER = 0;
const IN_DATA = 1;
const EVENT_END = 2;
const DATA_FIELD = Buffer.from('data:');
const LF = 10;
const CR = 13;

/** Which bytes of an event stream are data, and where an event ends (a blank line). */
class DataLines {
  /** How much of `data:` has been seen at the start of this line; -1: it is another line. */
  #matched = 0;
  #atStart = true;
  #afterCr = false;

  take(byte: number): typeof OTHER | typeof IN_DATA | typeof EVENT_END {
    if (byte === LF || byte === CR) {
      const secondHalf = byte === LF && this.#afterCr;
      this.#afterCr = byte === CR;
      if (secondHalf) return OTHER;
      const blank = this.#atStart;
      this.#atStart = true;
      this.#matched = 0;
      return blank ? EVENT_END : OTHER;
    }
    this.#afterCr = false;
    this.#atStart = false;
    if (this.#matched === DATA_FIELD.byteLength) return IN_DATA;
    if (this.#matched >= 0) this.#matched = byte === DATA_FIELD[this.#matched] ? this.#matched + 1 : -1;
    return OTHER;
  }
}

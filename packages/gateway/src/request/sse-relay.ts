/**
 * Server-sent events on their way to a caller: split by bytes, whole events leave in the turn in which they came. The
 * engine's usage is read on the way, and an event that carries nothing else is taken out where the gateway asked for it.
 *
 * Only whole events are relayed, so that a stream that breaks can end with an error event of ours; one longer than
 * MAX_HELD_BYTES goes out as it comes. The end mark `[DONE]` is held back: to an OpenAI client it is the end of the
 * answer, and that comes after the usage is written.
 */
import { textBytes } from '../usage/estimate.ts';
import { type TokenCounts, findUsage, readUsage } from '../usage/token-counts.ts';

const MAX_HELD_BYTES = 32_768;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const DONE = Buffer.from('data: [DONE]');
const DONE_TIGHT = Buffer.from('data:[DONE]');

export class SseRelay {
  readonly #hidesUsage: boolean;
  #held: Buffer | undefined;
  /** A part of the open event has gone out already. */
  #midEvent = false;
  /** What ends the stream: the `[DONE]` event, exactly as it came. */
  end: Buffer | undefined;
  counts: TokenCounts | undefined;
  /** Bytes of generated text relayed, and events that had any. */
  textBytes = 0;
  textEvents = 0;

  /** `hidesUsage`: the caller did not ask for the usage event. */
  constructor(hidesUsage: boolean) {
    this.#hidesUsage = hidesUsage;
  }

  /** What of this chunk (and of what was held before) goes to the caller now, in order. */
  push(chunk: Buffer): readonly Buffer[] {
    if (this.end !== undefined) return [];
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    const rescanFrom = this.#held === undefined ? 0 : Math.max(0, this.#held.byteLength - 3);
    this.#held = undefined;
    const out: Buffer[] = [];
    // Neighbouring events that all go out leave as one piece.
    let pieceStart = 0;
    let start = 0;
    for (let end = eventEnd(bytes, rescanFrom); end !== -1; end = eventEnd(bytes, start)) {
      const kind = this.#read(bytes.subarray(start, end));
      if (kind !== 'relay') {
        if (start > pieceStart) out.push(bytes.subarray(pieceStart, start));
        pieceStart = end;
      }
      if (kind === 'end') {
        this.end = bytes.subarray(start, end);
        return out;
      }
      this.#midEvent = false;
      start = end;
    }
    if (start > pieceStart) out.push(bytes.subarray(pieceStart, start));
    if (start < bytes.byteLength) this.#hold(bytes.subarray(start), out);
    return out;
  }

  /** Whether an event of ours must first close one that is half relayed. */
  get midEvent(): boolean {
    return this.#midEvent;
  }

  #hold(open: Buffer, out: Buffer[]): void {
    if (open.byteLength <= MAX_HELD_BYTES && !this.#midEvent) this.#held = open;
    else {
      this.#midEvent = true;
      this.textBytes += open.byteLength;
      out.push(open);
    }
  }

  #read(event: Buffer): 'relay' | 'hide' | 'end' {
    if (this.#midEvent) return 'relay';
    if (startsWith(event, DONE) || startsWith(event, DONE_TIGHT)) return 'end';
    const usageAt = findUsage(event);
    if (usageAt !== -1) {
      this.counts = readUsage(event, usageAt) ?? this.counts;
      if (this.#hidesUsage && hasNothingElse(event)) return 'hide';
    }
    const bytes = textBytes(event);
    if (bytes > 0) {
      this.textBytes += bytes;
      this.textEvents += 1;
    }
    return 'relay';
  }
}

/** The usage-only event of `stream_options.include_usage`: its `choices` are an empty list. */
function hasNothingElse(event: Buffer): boolean {
  const text = event.toString('utf8').trim();
  if (!text.startsWith('data:')) return false;
  try {
    const { choices } = JSON.parse(text.slice(5)) as { choices?: unknown };
    return Array.isArray(choices) && choices.length === 0;
  } catch {
    return false;
  }
}

/** Offset after the blank line that ends an event, at or after `from`; -1 where there is none yet. */
function eventEnd(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(NEWLINE, from); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) {
    if (bytes[at + 1] === NEWLINE) return at + 2;
    if (bytes[at + 1] === RETURN && bytes[at + 2] === NEWLINE) return at + 3;
  }
  return -1;
}

function startsWith(event: Buffer, prefix: Buffer): boolean {
  let at = 0;
  while (event[at] === NEWLINE || event[at] === RETURN) at += 1;
  return event.subarray(at, at + prefix.byteLength).equals(prefix);
}

/**
 * Server-sent events on their way to a caller: split by bytes, whole events leave in the turn in which they came. The
 * engine's usage is read on the way, and an event that carries nothing else is taken out where the gateway asked for it.
 *
 * Only whole events are relayed, so that a stream that breaks can end with an error event of ours; one longer than
 * MAX_HELD_BYTES goes out as it comes. An event whose text stands where that of an event before stood is not searched
 * any further: of a long stream only the first events and the last two are read.
 * The end mark `[DONE]` is held back: to an OpenAI client it is the end of the
 * answer, and that comes after the usage is written.
 */
import { type TextPlace, textBytes, textBytesAt, textPlace } from '../usage/estimate.ts';
import { type TokenCounts, findUsage, readUsage } from '../usage/token-counts.ts';
import type { SentText } from '../continuation/sent-text.ts';

const MAX_HELD_BYTES = 32_768;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const DONE = Buffer.from('data: [DONE]');
const DONE_TIGHT = Buffer.from('data:[DONE]');

export class SseRelay {
  readonly #hidesUsage: boolean;
  readonly #sent: SentText | undefined;
  /** The engine's answer is no use from here on, by its own word or by what it says. */
  failed = false;
  #held: Buffer | undefined;
  /** A part of the open event has gone out already. */
  #midEvent = false;
  /** What ends the stream: the `[DONE]` event, exactly as it came. */
  end: Buffer | undefined;
  #counts: TokenCounts | undefined;
  #place: TextPlace | undefined;
  /** The newest event that was not searched: some engines put their counts beside the last text. */
  #unread: Buffer | undefined;
  /** Bytes of generated text relayed, and events that had any. */
  textBytes = 0;
  textEvents = 0;

  /** `hidesUsage`: the caller did not ask for the usage event. `sent`: each event passes it on its way. */
  constructor(hidesUsage: boolean, sent?: SentText) {
    this.#hidesUsage = hidesUsage;
    this.#sent = sent;
  }

  /** What of this chunk (and of what was held before) goes to the caller now, in order. */
  push(chunk: Buffer): readonly Buffer[] {
    if (this.end !== undefined || this.failed) return [];
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    const rescanFrom = this.#held === undefined ? 0 : Math.max(0, this.#held.byteLength - 3);
    this.#held = undefined;
    const out: Buffer[] = [];
    // Neighbouring events that all go out leave as one piece.
    let pieceStart = 0;
    let start = 0;
    for (let end = eventEnd(bytes, rescanFrom); end !== -1; end = eventEnd(bytes, start)) {
      const read = this.#read(bytes, start, end);
      const passed = read === 'relay' ? this.#sent?.pass(bytes.subarray(start, end)) : undefined;
      const kind = read === 'relay' && this.#sent !== undefined ? 'replace' : read;
      if (kind !== 'relay') {
        if (start > pieceStart) out.push(bytes.subarray(pieceStart, start));
        pieceStart = end;
      }
      if (passed === 'stop') {
        this.failed = true;
        return out;
      }
      if (passed !== undefined) out.push(passed);
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

  /** The engine's own, where it gave them. */
  get counts(): TokenCounts | undefined {
    if (this.#unread !== undefined) this.#count(this.#unread);
    this.#unread = undefined;
    return this.#counts;
  }

  /** Whether an event of ours must first close one that is half relayed. */
  get midEvent(): boolean {
    return this.#midEvent;
  }

  #hold(open: Buffer, out: Buffer[]): void {
    if (open.byteLength <= MAX_HELD_BYTES && !this.#midEvent) this.#held = open;
    else {
      this.#sent?.spoil('an event of unusual size');
      this.#midEvent = true;
      this.textBytes += open.byteLength;
      out.push(open);
    }
  }

  #read(bytes: Buffer, start: number, end: number): 'relay' | 'hide' | 'end' {
    if (this.#midEvent) return 'relay';
    const known = this.#place === undefined ? -1 : textBytesAt(bytes, start, end, this.#place);
    if (known !== -1) {
      this.#countText(known);
      this.#unread = bytes.subarray(start, end);
      return 'relay';
    }
    const event = bytes.subarray(start, end);
    if (startsWith(event, DONE) || startsWith(event, DONE_TIGHT)) return 'end';
    if (this.#count(event) && this.#hidesUsage && hasNothingElse(event)) return 'hide';
    this.#place = textPlace(event) ?? this.#place;
    this.#countText(textBytes(event));
    return 'relay';
  }

  /** Whether the event has the engine's counts. */
  #count(event: Buffer): boolean {
    const usageAt = findUsage(event);
    if (usageAt === -1) return false;
    this.#counts = readUsage(event, usageAt) ?? this.#counts;
    this.#unread = undefined;
    return true;
  }

  #countText(bytes: number): void {
    if (bytes === 0) return;
    this.textBytes += bytes;
    this.textEvents += 1;
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

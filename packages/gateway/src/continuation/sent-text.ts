/**
 * The text of a streamed answer that has gone to its caller, kept so that another node can go on from there, and the
 * events of that node made into the rest of the same answer. It sees whole events only, in the order in which they leave:
 * what was cut off in the middle of one was never sent, and is generated again.
 *
 * Where an answer has anything beside the text of one choice (a call of a tool, reasoning, probabilities), or more text
 * than MAX_SENT_BYTES, nobody can go on from it: nothing is kept then, and `spoilt` says why.
 */
import type { AnswerParts } from './answer-parts.ts';
import { type ChunkText, type EventChunk, readChunk, writeChunk } from './event-chunk.ts';
import type { ByteBudget } from '../request/byte-budget.ts';

export const MAX_SENT_BYTES = 262_144;

/** What of an event goes on; undefined: nothing. `stop`: this node's answer is no use any more. */
export type Passed = Buffer | undefined | 'stop';

export interface EngineCounts {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export class SentText {
  readonly #form: ChunkText;
  readonly #parts: Pick<AnswerParts, 'said'> | undefined;
  readonly #budget: Pick<ByteBudget, 'take' | 'give'>;
  #pieces: string[] = [];
  #bytes = 0;
  #spoilt: string | undefined;
  /** The first event with a choice: what every event of one answer says alike. */
  #first: EventChunk | undefined;
  #roleSent = false;
  #finished = false;
  #events = 0;
  #resumed = false;
  #diverged = false;
  /** Events with text when the node that answers now took over. */
  #eventsBefore = 0;
  #bytesBefore = 0;
  #sentBytes = 0;
  /** Sent already, and to come again from the node that goes on: see `beginning`. */
  #again = '';

  /** `form`: where the path's events have their text. `parts` are told what goes out. */
  constructor(form: ChunkText, budget: Pick<ByteBudget, 'take' | 'give'>, parts?: Pick<AnswerParts, 'said'>) {
    this.#form = form;
    this.#parts = parts;
    this.#budget = budget;
  }

  /** Why nobody can go on from here; undefined where somebody may. */
  get spoilt(): string | undefined {
    return this.#spoilt;
  }

  /** The engine has said how the answer ends: nothing is left to generate. */
  get finished(): boolean {
    return this.#finished;
  }

  /** The node that went on said another text than the one that was sent: a matter of chance, and nobody's fault. */
  get diverged(): boolean {
    return this.#diverged;
  }

  /** Events with text; engines send at least one token in each. */
  get events(): number {
    return this.#events;
  }

  /** Those that are not wholly in `end`, with which the text ends. */
  eventsBut(end: string): number {
    let left = end.length;
    let events = this.#events;
    for (const piece of this.#pieces.toReversed()) {
      left -= piece.length;
      if (left < 0) break;
      events -= 1;
    }
    return events;
  }

  get text(): string {
    return this.#pieces.join('');
  }

  /** Of text, when the node that answers now took over. */
  get bytesBefore(): number {
    return this.#bytesBefore;
  }

  /** How many of all tokens another node's engine counts as prompt that were this answer's. */
  get eventsBefore(): number {
    return this.#eventsBefore;
  }

  spoil(reason: string): void {
    this.#spoilt ??= reason;
    this.release();
  }

  /** Gives back what it holds; nothing can be continued after it. */
  release(): void {
    this.#budget.give(this.#bytes);
    this.#bytes = 0;
    this.#pieces = [];
    this.#spoilt ??= 'released';
  }

  /** Another node answers from here. `again`: the end of the text that it was not given, and so will say once more. */
  resume(again: string): void {
    this.#resumed = true;
    this.#again = again;
    this.#eventsBefore = this.eventsBut(again);
    this.#bytesBefore = this.#sentBytes;
  }

  /** One whole event, before it goes out. */
  pass(event: Buffer): Passed {
    if (this.#spoilt !== undefined && !this.#resumed) return event;
    const chunk = readChunk(event, this.#form);
    if (chunk === 'comment') return event;
    if (chunk === 'error') return 'stop';
    if (chunk === 'strange') {
      this.spoil('an event of another form');
      return this.#resumed ? 'stop' : event;
    }
    if (chunk.beside !== undefined) {
      this.spoil(chunk.beside);
      // It was asked to go on with text, and does not.
      if (this.#resumed) return 'stop';
    }
    return this.#resumed ? this.#rewritten(chunk) : this.#kept(chunk, event);
  }

  #kept(chunk: EventChunk, event: Buffer): Buffer {
    this.#see(chunk);
    return event;
  }

  #rewritten(chunk: EventChunk): Passed {
    const text = this.#withoutAgain(chunk.text);
    if (text === undefined) {
      this.#diverged = true;
      return 'stop';
    }
    const { isEmpty } = chunk;
    const hasRole = chunk.role && !this.#roleSent;
    // The caller has had the opening of this answer.
    if (text === '' && !isEmpty && chunk.finish === undefined && chunk.usage === undefined && !hasRole)
      return undefined;
    this.#see({ ...chunk, text });
    return writeChunk(chunk, this.#form, {
      first: this.#first,
      text,
      withoutRole: this.#roleSent && !hasRole,
      completedBefore: this.#eventsBefore,
    });
  }

  /** Undefined: the text goes another way than the one that was sent. */
  #withoutAgain(text: string): string | undefined {
    if (this.#again === '' || text === '') return text;
    const length = Math.min(text.length, this.#again.length);
    if (text.slice(0, length) !== this.#again.slice(0, length)) return undefined;
    this.#again = this.#again.slice(length);
    return text.slice(length);
  }

  #see(chunk: EventChunk): void {
    if (!chunk.isEmpty) this.#first ??= chunk;
    if (chunk.role) this.#roleSent = true;
    if (chunk.finish !== undefined) this.#finished = true;
    if (chunk.text === '') return;
    this.#parts?.said(chunk.text);
    this.#events += 1;
    if (this.#spoilt !== undefined) return;
    const bytes = Buffer.byteLength(chunk.text);
    this.#sentBytes += bytes;
    if (this.#bytes + bytes > MAX_SENT_BYTES) return this.spoil('more text than is kept');
    if (!this.#budget.take(bytes)) return this.spoil('no memory left to keep the text');
    this.#bytes += bytes;
    this.#pieces.push(chunk.text);
  }

  /**
   * What ends an answer whose engine has said how it ends and was gone before the end mark, or whose caller's limit is
   * reached. `counts`: where the caller asked for them and they have not come.
   */
  ending(finish: 'length' | undefined, counts: EngineCounts | undefined): Buffer {
    const parts: Buffer[] = [];
    const first = this.#first;
    if (first !== undefined && finish !== undefined && !this.#finished) {
      parts.push(
        writeChunk({ ...first, finish }, this.#form, { first, text: '', withoutRole: true, completedBefore: 0 }),
      );
    }
    if (first !== undefined && counts !== undefined) parts.push(usageEvent(first, counts));
    parts.push(Buffer.from('data: [DONE]\n\n'));
    return Buffer.concat(parts);
  }
}

function usageEvent({ value }: EventChunk, { promptTokens, completionTokens }: EngineCounts): Buffer {
  const usage = {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
  return Buffer.from(`data: ${JSON.stringify({ ...value, choices: [], usage })}\n\n`);
}

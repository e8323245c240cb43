/**
 * One answer on its way to the caller. Nothing is sent before the node's first byte, so until then another node may be
 * asked; what ends the answer is held back until its usage is written.
 *
 * What comes in one turn of the loop leaves in that turn, in one write: a node whose answers come faster than the
 * caller's socket is written to would otherwise cost a system call an event.
 */
import type { IncomingHttpHeaders } from 'node:http2';
import { type Hash, createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { RESPONSE_HEADERS, SANDBOX_HEADERS } from '@subcloud/contract/inference';
import { estimateTokens } from '../usage/estimate.ts';
import type { TokenCounts } from '../usage/token-counts.ts';
import { AnswerParts } from '../continuation/answer-parts.ts';
import type { SentText } from '../continuation/sent-text.ts';
import { JsonRelay } from './json-relay.ts';
import { SseRelay } from './sse-relay.ts';
import { type TurnTask, atEndOfTurn } from './turn-end.ts';

export type AnswerHeaders = Readonly<Record<string, string>>;

export interface CountedTokens extends TokenCounts {
  readonly estimated: boolean;
}

/** Up to this size, head and body of an answer leave as one piece of text: Node writes head and bytes as two. */
const MAX_JOINED_BYTES = 65_536;

export class Answer implements TurnTask {
  readonly #response: ServerResponse;
  readonly #hidesUsage: boolean;
  readonly #promptBytes: number;
  readonly #salt: string;
  /** Of what the caller is sent, for its receipt: events may be taken out, so the node's hash is of something else. */
  #hash: Hash | undefined;
  #relay: SseRelay | JsonRelay | undefined;
  /** Of nodes that broke off, before the one that answers now. */
  #textEventsBefore = 0;
  #textBytesBefore = 0;
  /** What has gone out, where another node may go on from there. */
  sent: SentText | undefined;
  readonly parts: AnswerParts;
  /** Of this turn, not yet written. */
  #pending: Buffer[] = [];
  /** Status of the answer; undefined until it has begun. */
  status: number | undefined;
  /** Called when the caller's socket is full: the node must stop until `drain`. */
  onFull: (() => void) | undefined;

  constructor(
    response: ServerResponse,
    options: { readonly hidesUsage: boolean; readonly promptBytes: number; readonly salt: string },
  ) {
    this.#response = response;
    this.#hidesUsage = options.hidesUsage;
    this.#promptBytes = options.promptBytes;
    this.#salt = options.salt;
    this.parts = new AnswerParts(options.salt);
  }

  get begun(): boolean {
    return this.status !== undefined;
  }

  /** The whole answer is here, its end apart. */
  get hasEnd(): boolean {
    return this.#relay?.end !== undefined;
  }

  /** `own` are the gateway's headers; of the engine's only those on the list pass. */
  begin(status: number, engine: IncomingHttpHeaders, own: AnswerHeaders): void {
    const type = engine['content-type'] ?? '';
    const events = type.startsWith('text/event-stream');
    const headers: Record<string, string> = { ...own, ...SANDBOX_HEADERS };
    for (const name of RESPONSE_HEADERS) {
      const value = engine[name];
      // An event may be taken out of a stream, so its length would be wrong.
      if (typeof value === 'string' && !(events && name === 'content-length')) headers[name] = value;
    }
    this.status = status;
    const length = events ? undefined : headers['content-length'];
    if (events) this.#hash = createHash('sha256').update(this.#salt, 'hex');
    this.#relay = events
      ? new SseRelay(this.#hidesUsage, this.sent)
      : new JsonRelay(length === undefined ? undefined : Number(length));
    this.#response.writeHead(status, headers);
  }

  /** Another node goes on with a stream that broke: what of an event was held is forgotten, it never went out. */
  resume(again: string): void {
    const relay = this.#relay;
    if (!(relay instanceof SseRelay) || this.sent === undefined) return;
    this.#textEventsBefore += relay.textEvents;
    this.#textBytesBefore += relay.textBytes;
    this.sent.resume(again);
    this.#relay = new SseRelay(this.#hidesUsage, this.sent);
  }

  /** Ends a stream for a node that is gone and had nothing left to say but its end. */
  end(finish: 'length' | undefined): void {
    const relay = this.#relay;
    if (!(relay instanceof SseRelay)) return;
    const owesUsage = !this.#hidesUsage && relay.counts === undefined;
    relay.end = this.sent?.ending(finish, owesUsage ? this.tokens(false) : undefined);
  }

  /** The node's answer is no use from here on. */
  get failed(): boolean {
    return this.#relay instanceof SseRelay && this.#relay.failed;
  }

  push(chunk: Buffer): void {
    const relay = this.#relay;
    if (relay === undefined) return;
    this.parts.received(chunk);
    const before = this.#pending.length;
    if (relay instanceof SseRelay) for (const piece of relay.push(chunk)) this.#pending.push(piece);
    else {
      const piece = relay.push(chunk);
      if (piece !== undefined) this.#pending.push(piece);
    }
    if (before === 0 && this.#pending.length > 0) atEndOfTurn(this);
  }

  /** Whether what the engine ended here is a whole answer. A stream of events has an end mark, or it was cut. */
  get complete(): boolean {
    return this.#relay instanceof JsonRelay ? this.#relay.complete : this.hasEnd;
  }

  endOfTurn(): void {
    const pieces = this.#take();
    if (pieces === undefined || this.#response.destroyed) return;
    if (!this.#response.write(pieces)) this.onFull?.();
  }

  /** What of an answer is here goes out, before it is broken off. */
  flush(): void {
    this.endOfTurn();
  }

  /** Sends the end that was held back. */
  finish(): void {
    const end = this.#relay?.end;
    if (end !== undefined) this.#pending.push(end);
    const last = this.#take();
    if (last === undefined) this.#response.end();
    // Latin-1 is the one encoding in which text and bytes are the same, one to one.
    else if (last.byteLength <= MAX_JOINED_BYTES) this.#response.end(last.toString('latin1'), 'latin1');
    else this.#response.end(last);
  }

  /** SHA-256 of salt and the whole of what the caller gets, its end included; null where it gets what the node sent. */
  contentHash(): string | null {
    const hash = this.#hash;
    if (hash === undefined) return null;
    this.#hash = undefined;
    for (const piece of this.#pending) hash.update(piece);
    const end = this.#relay?.end;
    if (end !== undefined) hash.update(end);
    return hash.digest('hex');
  }

  #take(): Buffer | undefined {
    const pieces = this.#pending;
    if (pieces.length === 0) return undefined;
    this.#pending = [];
    const taken = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
    if (taken !== undefined) this.#hash?.update(taken);
    return taken;
  }

  /** Whether a stream breaks in the middle of an event; undefined for what is no stream of events. */
  get brokenEvent(): boolean | undefined {
    return this.#relay instanceof SseRelay ? this.#relay.midEvent : undefined;
  }

  /** Whether the answer has a token so far: text, or the engine's own count. */
  get saidSomething(): boolean {
    const relay = this.#relay;
    if (relay === undefined) return false;
    if (relay instanceof SseRelay)
      return this.#textEventsBefore + relay.textEvents > 0 || (relay.counts?.completionTokens ?? 0) > 0;
    // Text that no token was counted for is some, too: completions may be asked for their prompt alone (`echo`).
    return (relay.counts()?.completionTokens ?? 0) > 0 || relay.textBytes() > 0;
  }

  /** The node that answers now has said its first token: from here on silence is a fault, and not a long prompt. */
  get isMidway(): boolean {
    const relay = this.#relay;
    return relay instanceof SseRelay ? relay.textEvents > 0 : relay !== undefined;
  }

  /** Tokens of what was relayed; the engine's own counts where the answer is whole and has them. */
  tokens(whole: boolean): CountedTokens {
    const relay = this.#relay;
    const counts = relay instanceof SseRelay ? relay.counts : whole ? relay?.counts() : undefined;
    // The engine that went on counts what was said before it as its prompt: the sum is right, the parts are estimated.
    const before = Math.min(this.sent?.eventsBefore ?? 0, counts?.promptTokens ?? 0);
    if (whole && counts !== undefined) {
      const [promptTokens, completionTokens] = [counts.promptTokens - before, counts.completionTokens + before];
      return { promptTokens, completionTokens, estimated: before > 0 };
    }
    const promptTokens = counts === undefined ? estimateTokens(this.#promptBytes) : counts.promptTokens - before;
    if (relay instanceof SseRelay) {
      const [events, bytes] = [this.#textEventsBefore + relay.textEvents, this.#textBytesBefore + relay.textBytes];
      const completionTokens = Math.max(events, estimateTokens(bytes));
      return { promptTokens, completionTokens, estimated: true };
    }
    return { promptTokens, completionTokens: estimateTokens(relay?.textBytes() ?? 0), estimated: true };
  }
}

/**
 * One answer on its way to the caller. Nothing is sent before the node's first byte, so until then another node may be
 * asked; what ends the answer is held back until its usage is written.
 */
import type { IncomingHttpHeaders } from 'node:http2';
import type { ServerResponse } from 'node:http';
import { RESPONSE_HEADERS, SANDBOX_HEADERS } from '@subcloud/contract/inference';
import { estimateTokens } from '../usage/estimate.ts';
import type { TokenCounts } from '../usage/token-counts.ts';
import { JsonRelay } from './json-relay.ts';
import { SseRelay } from './sse-relay.ts';

export type AnswerHeaders = Readonly<Record<string, string>>;

export interface CountedTokens extends TokenCounts {
  readonly estimated: boolean;
}

export class Answer {
  readonly #response: ServerResponse;
  readonly #hidesUsage: boolean;
  readonly #promptBytes: number;
  #relay: SseRelay | JsonRelay | undefined;
  /** Status of the answer; undefined until it has begun. */
  status: number | undefined;

  constructor(response: ServerResponse, options: { readonly hidesUsage: boolean; readonly promptBytes: number }) {
    this.#response = response;
    this.#hidesUsage = options.hidesUsage;
    this.#promptBytes = options.promptBytes;
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
    this.#relay = events
      ? new SseRelay(this.#hidesUsage)
      : new JsonRelay(length === undefined ? undefined : Number(length));
    this.#response.writeHead(status, headers);
  }

  /** False: the caller's socket is full; stop the node until `drain`. */
  push(chunk: Buffer): boolean {
    const relay = this.#relay;
    if (relay === undefined) return true;
    let flows = true;
    if (relay instanceof SseRelay) for (const piece of relay.push(chunk)) flows = this.#response.write(piece);
    else {
      const piece = relay.push(chunk);
      if (piece !== undefined) flows = this.#response.write(piece);
    }
    return flows;
  }

  /** Whether what the engine ended here is a whole answer. A stream of events has an end mark, or it was cut. */
  get complete(): boolean {
    return this.#relay instanceof JsonRelay ? this.#relay.complete : this.hasEnd;
  }

  /** Sends the end that was held back. */
  finish(): void {
    const end = this.#relay?.end;
    if (end === undefined) this.#response.end();
    else this.#response.end(end);
  }

  /** Whether a stream breaks in the middle of an event; undefined for what is no stream of events. */
  get brokenEvent(): boolean | undefined {
    return this.#relay instanceof SseRelay ? this.#relay.midEvent : undefined;
  }

  /** Tokens of what was relayed; the engine's own counts where the answer is whole and has them. */
  tokens(whole: boolean): CountedTokens {
    const relay = this.#relay;
    const counts = relay instanceof SseRelay ? relay.counts : whole ? relay?.counts() : undefined;
    if (whole && counts !== undefined) return { ...counts, estimated: false };
    const promptTokens = counts?.promptTokens ?? estimateTokens(this.#promptBytes);
    if (relay instanceof SseRelay) {
      const completionTokens = Math.max(relay.textEvents, estimateTokens(relay.textBytes));
      return { promptTokens, completionTokens, estimated: true };
    }
    return { promptTokens, completionTokens: estimateTokens(relay?.textBytes() ?? 0), estimated: true };
  }
}

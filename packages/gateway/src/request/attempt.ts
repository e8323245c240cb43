/**
 * One try of a request on one node: an HTTP/2 stream on its link, relayed as it comes. The stream is opened before this
 * function returns, so nothing can change between the pick and the dispatch.
 *
 * Back-pressure goes both ways: a caller that does not read pauses the stream, whose window then stops the node alone.
 * A caller that leaves resets the stream at once, so that the engine stops.
 */
import { type ClientHttp2Stream, type IncomingHttpHeaders, type OutgoingHttpHeaders, constants } from 'node:http2';
import type { ServerResponse } from 'node:http';
import type { AppError } from '@subcloud/contract/errors';
import { RESPONSE_HEADERS, busyFor } from '@subcloud/contract/inference';
import type { Clock, Timer } from '@subcloud/kit/clock';
import type { NodeLink } from '../link/node-link.ts';
import type { WaitsFor } from './active-requests.ts';
import type { Answer } from './answer.ts';
import type { Cancellation } from './cancellation.ts';
import { type NodeVerdict, judgeStatus } from './node-verdict.ts';
import { waitHeaders } from './send-error.ts';
import { type TurnTask, atEndOfTurn } from './turn-end.ts';

/** The node answered with something else than the rest of the answer that was begun. */
export const CANNOT_CONTINUE = 'cannot continue';
const STALLED = 'upstream.timeout';
const MAX_REFUSAL_BYTES = 262_144;
/** An answer that is whole may leave its stream open this long. */
const LINGER_MS = 2_000;
/** What an answer's head may take, and what may be under way when a stream is given up: neither is a flood. */
const HEAD_BYTES = 1_024;
const UNDER_WAY_BYTES = 1_048_576;

/** What a node said instead of an answer. */
export interface Refusal {
  readonly kind: 'refused';
  readonly verdict: Exclude<NodeVerdict, 'answer'>;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** `stalled`: it said nothing for too long; `withdrawn`: it may not answer this pool any more. */
export type Interruption = 'broke' | 'stalled' | 'withdrawn';

export type AttemptOutcome =
  /** Relayed but for its end. */
  | { readonly kind: 'answered' }
  | Refusal
  /** Before the first byte. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** After it. */
  | { readonly kind: 'interrupted'; readonly why: Interruption }
  /** The request's own cancellation. */
  | { readonly kind: 'aborted'; readonly reason: AppError };

export interface AttemptInput {
  readonly link: NodeLink;
  /** Once the stream is open: from now on it has a place there. What it returns gives it back, when the stream is gone. */
  readonly takePlace: () => () => void;
  readonly headers: OutgoingHttpHeaders;
  /** In order; rarely more than one. */
  readonly body: readonly Buffer[];
  readonly response: ServerResponse;
  readonly answer: Answer;
  readonly clock: Clock;
  readonly cancellation: Cancellation;
  /** The node may not answer this pool any more (`upstream.withdrawn`), or is silent: the try ends as a node that broke off does. */
  readonly cut: Cancellation;
  /** The first byte is here: begin the answer. */
  readonly onFirstByte: (status: number, headers: IncomingHttpHeaders) => void;
  /** Of a try that goes on with an answer: whether what comes is the rest of it. False: it is not relayed. */
  readonly continues?: ((headers: IncomingHttpHeaders) => boolean) | undefined;
  /** Something moved: the request's deadline moves on. */
  readonly onProgress: (waitsFor: Exclude<WaitsFor, 'the body'>) => void;
}

export function attempt(input: AttemptInput): Promise<AttemptOutcome> {
  return new Promise((resolve) => new Attempt(input, resolve).start());
}

/**
 * Node's stream carries its attempt, and lets go of it when it closes: what a closed HTTP/2 stream still refers to lives
 * until the next full collection, and that would be the caller's whole request. Its listeners are the same for all.
 */
const ATTEMPT = Symbol('attempt');
interface CarryingStream extends ClientHttp2Stream {
  [ATTEMPT]?: Attempt | undefined;
}

function onResponse(this: CarryingStream, headers: IncomingHttpHeaders): void {
  this[ATTEMPT]?.responded(headers);
}
function onData(this: CarryingStream, chunk: Buffer): void {
  this[ATTEMPT]?.received(chunk);
}
function onEnd(this: CarryingStream): void {
  this[ATTEMPT]?.ended();
}
function onError(this: CarryingStream): void {
  this[ATTEMPT]?.broke();
}
function onClose(this: CarryingStream): void {
  this[ATTEMPT]?.closed();
  this[ATTEMPT] = undefined;
}

class Attempt implements TurnTask {
  readonly #input: AttemptInput;
  readonly #resolve: (outcome: AttemptOutcome) => void;
  #stream: ClientHttp2Stream | undefined;
  #settled = false;
  /** This node's first byte is here. */
  #begun = false;
  #head: IncomingHttpHeaders | undefined;
  #verdict: NodeVerdict = 'fault';
  /** Bytes that came before the head; see received(). */
  #early: Buffer[] | undefined;
  #refusal: Buffer[] | undefined;
  #refusalBytes = 0;
  #linger: Timer | undefined;
  /** The caller must read first. */
  #paused = false;
  #givePlace: (() => void) | undefined;

  constructor(input: AttemptInput, resolve: (outcome: AttemptOutcome) => void) {
    this.#input = input;
    this.#resolve = resolve;
  }

  start(): void {
    const { link, headers, body, cancellation, cut } = this.#input;
    if (cancellation.reason !== undefined) return this.#abort(cancellation.reason);
    let stream: CarryingStream;
    try {
      stream = link.session.request(headers);
    } catch {
      return this.#settle({ kind: 'failed', reason: 'no stream' });
    }
    this.#stream = stream;
    stream[ATTEMPT] = this;
    this.#givePlace = this.#input.takePlace();
    stream.on('response', onResponse);
    stream.on('data', onData);
    stream.on('end', onEnd);
    stream.on('error', onError);
    stream.on('close', onClose);
    this.#input.answer.onFull = this.#pause;
    cancellation.listen(this.#abort);
    cut.listen(this.#cut);
    for (let piece = 0; piece < body.length - 1; piece += 1) stream.write(body[piece]);
    stream.end(body.at(-1));
  }

  responded(headers: IncomingHttpHeaders): void {
    this.#head = headers;
    this.#verdict = judgeStatus(Number(headers[':status']));
    this.#input.link.guard.usefulBytes += HEAD_BYTES;
    this.#input.onProgress('a node');
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) for (const chunk of early) this.received(chunk);
  }

  received(chunk: Buffer): void {
    this.#input.link.guard.usefulBytes += chunk.byteLength;
    if (this.#settled) return;
    // Node emits `response` a tick late and `data` at once. Where a TLS socket is read while it is written to, no tick
    // runs between the two, and an answer's first bytes are here before its head.
    if (this.#head === undefined) return void (this.#early ??= []).push(chunk);
    const { answer, onProgress } = this.#input;
    if (this.#verdict !== 'answer') {
      onProgress('a node');
      return this.#hold(chunk);
    }
    if (!this.#begun && !this.#begin()) return;
    answer.push(chunk);
    // What is under way when a caller stops to read moves nobody.
    if (!this.#paused) onProgress(answer.isMidway ? 'more' : 'a node');
    if (answer.failed) this.#useless();
    else if (answer.hasEnd) this.#answered();
  }

  ended(): void {
    if (this.#settled) return;
    const { answer } = this.#input;
    if (this.#head === undefined) return this.#settle({ kind: 'failed', reason: 'no answer' });
    if (this.#verdict !== 'answer') return this.#refused();
    // An empty body ends properly only where the stream did; a reset shows up as its code.
    if ((this.#stream?.rstCode ?? 0) !== constants.NGHTTP2_NO_ERROR) return this.broke();
    // Nothing of it went out: another node may have more to say.
    if (!this.#begun && isEventStream(this.#head)) return this.#settle({ kind: 'failed', reason: 'empty answer' });
    if (!this.#begun && !this.#begin()) return;
    this.#settle(answer.complete ? { kind: 'answered' } : this.#interrupted());
  }

  broke(): void {
    if (this.#settled) return;
    this.#settle(
      this.#begun ? this.#interrupted() : { kind: 'failed', reason: this.#cutOff ? 'withdrawn' : 'link broke' },
    );
  }

  closed(): void {
    this.#givePlace?.();
    this.#givePlace = undefined;
    this.#linger?.cancel();
    this.broke();
  }

  readonly #cut = (): void => {
    this.#giveUp();
    this.broke();
  };

  get #cutOff(): boolean {
    return this.#input.cut.reason !== undefined;
  }

  #interrupted(): AttemptOutcome {
    const why = this.#input.cut.reason?.code;
    return { kind: 'interrupted', why: why === undefined ? 'broke' : why === STALLED ? 'stalled' : 'withdrawn' };
  }

  readonly #abort = (reason: AppError): void => {
    this.#giveUp();
    this.#settle({ kind: 'aborted', reason });
  };

  #begin(): boolean {
    const head = this.#head ?? {};
    if (this.#input.continues?.(head) === false) {
      this.#giveUp();
      this.#settle({ kind: 'failed', reason: CANNOT_CONTINUE });
      return false;
    }
    this.#begun = true;
    this.#input.onFirstByte(Number(head[':status']), head);
    return true;
  }

  /** The engine said that it failed, or what it says is not the rest of the answer. */
  #useless(): void {
    this.#giveUp();
    this.#settle(this.#interrupted());
  }

  readonly #pause = (): void => {
    const stream = this.#stream;
    if (stream === undefined || this.#settled || this.#paused) return;
    this.#paused = true;
    stream.pause();
    this.#input.onProgress('the caller to read');
    this.#input.response.once('drain', () => {
      this.#paused = false;
      if (!this.#settled) this.#input.onProgress('more');
      stream.resume();
    });
  };

  #hold(chunk: Buffer): void {
    this.#refusalBytes += chunk.byteLength;
    if (this.#refusalBytes <= MAX_REFUSAL_BYTES) return void (this.#refusal ??= []).push(chunk);
    this.#giveUp();
    this.#settle({ kind: 'failed', reason: 'endless refusal' });
  }

  #refused(): void {
    const headers = this.#head ?? {};
    const verdict = this.#verdict;
    if (verdict === 'answer') return;
    const body = Buffer.concat(this.#refusal ?? [], this.#refusalBytes);
    this.#settle({ kind: 'refused', verdict, status: Number(headers[':status']), headers, body });
  }

  /** The end is held; the stream should close by itself, and is closed if it does not. */
  #answered(): void {
    const stream = this.#stream;
    if (stream !== undefined && !stream.readableEnded) {
      stream.resume();
      atEndOfTurn(this);
    }
    this.#settle({ kind: 'answered' });
  }

  /** Nearly always the stream has closed by then: its end came with the last bytes. */
  endOfTurn(): void {
    const stream = this.#stream;
    if (stream === undefined || stream.closed || stream.destroyed) return;
    this.#linger = this.#input.clock.after(LINGER_MS, () => this.#giveUp());
  }

  #giveUp(): void {
    this.#input.link.guard.usefulBytes += UNDER_WAY_BYTES;
    this.#stream?.close(constants.NGHTTP2_CANCEL);
  }

  #settle(outcome: AttemptOutcome): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#input.cancellation.unlisten(this.#abort);
    this.#input.cut.unlisten(this.#cut);
    this.#resolve(outcome);
  }
}

function isEventStream(headers: IncomingHttpHeaders): boolean {
  return headers['content-type']?.startsWith('text/event-stream') === true;
}

/** Of a refusal's headers those that may pass to a caller. */
export function passableHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of RESPONSE_HEADERS) {
    const value = headers[name];
    if (typeof value === 'string' && name !== 'content-length') passed[name] = value;
  }
  const { 'retry-after': wait } = busyFor(Number(headers[':status']), headers['retry-after']);
  return { ...passed, ...(wait === undefined ? {} : waitHeaders(Number(wait))) };
}

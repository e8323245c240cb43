/**
 * Notices an agent that keeps its gateway busy with what brings no answer any further: floods of control frames, interim
 * answers, empty data, lines on the report stream. HTTP/2 itself stops only some of them, and each costs the loop that all
 * pools share. What counts is bytes on the socket against bytes that were of use, so no kind of frame can be forgotten.
 */
export interface GuardedSocket {
  readonly bytesRead: number;
}

/** Frame heads, acknowledgements and answers' heads of an honest agent stay far below. */
const OVERHEAD_BYTES_A_SECOND = 262_144;
/** Of the useful bytes: a token a frame is nine bytes of head to some hundred. */
const OVERHEAD_SHARE = 0.25;
const MAX_DEBT_BYTES = 4_194_304;
/** Heartbeats come every five seconds, acknowledgements with documents. */
const LINES_A_SECOND = 100;
const MAX_LINE_DEBT = 1_000;

export class LinkGuard {
  /** Bytes of answers and of the report stream; added to by whoever reads them. */
  usefulBytes = 0;
  /** Lines of the report stream. */
  lines = 0;
  #seenBytes: number;
  #usefulSeen = 0;
  #linesSeen = 0;
  #debtBytes = 0;
  #lineDebt = 0;
  readonly #socket: GuardedSocket;

  constructor(socket: GuardedSocket) {
    this.#socket = socket;
    this.#seenBytes = socket.bytesRead;
  }

  /** To be asked every `elapsedMs`: what the agent does too much of, or undefined. */
  excess(elapsedMs: number): 'frames' | 'lines' | undefined {
    const seconds = elapsedMs / 1_000;
    const readBytes = this.#socket.bytesRead - this.#seenBytes;
    const useful = this.usefulBytes - this.#usefulSeen;
    const lines = this.lines - this.#linesSeen;
    this.#seenBytes += readBytes;
    this.#usefulSeen = this.usefulBytes;
    this.#linesSeen = this.lines;
    const overhead = readBytes - useful * (1 + OVERHEAD_SHARE) - OVERHEAD_BYTES_A_SECOND * seconds;
    this.#debtBytes = Math.max(0, this.#debtBytes + overhead);
    this.#lineDebt = Math.max(0, this.#lineDebt + lines - LINES_A_SECOND * seconds);
    if (this.#debtBytes > MAX_DEBT_BYTES) return 'frames';
    return this.#lineDebt > MAX_LINE_DEBT ? 'lines' : undefined;
  }
}

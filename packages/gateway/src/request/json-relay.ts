/**
 * A whole JSON answer on its way to a caller: bytes pass as they come, the last of them are kept (by reference) to read
 * the engine's usage from. Where the length is known, the piece that completes it is held back: with it the caller sees
 * the end, and that comes after the usage is written.
 */
import { textBytes } from '../usage/estimate.ts';
import { type TokenCounts, findUsage, readUsage } from '../usage/token-counts.ts';

const MAX_TAIL_BYTES = 65_536;

export class JsonRelay {
  readonly #lengthBytes: number | undefined;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #counted: { readonly atBytes: number; readonly counts: TokenCounts | undefined } | undefined;
  seenBytes = 0;
  /** The piece that completes a body of known length. */
  end: Buffer | undefined;

  /** `lengthBytes`: the engine's content-length, where it gave one. */
  constructor(lengthBytes: number | undefined) {
    this.#lengthBytes = lengthBytes;
  }

  /** What goes to the caller now. */
  push(chunk: Buffer): Buffer | undefined {
    if (this.end !== undefined) return undefined;
    this.seenBytes += chunk.byteLength;
    this.#tail.push(chunk);
    this.#tailBytes += chunk.byteLength;
    let first = this.#tail[0];
    while (first !== undefined && this.#tailBytes - first.byteLength >= MAX_TAIL_BYTES) {
      this.#tail.shift();
      this.#tailBytes -= first.byteLength;
      first = this.#tail[0];
    }
    if (this.#lengthBytes === undefined || this.seenBytes < this.#lengthBytes) return chunk;
    this.end = chunk;
    return undefined;
  }

  /** Whether all bytes that the engine announced have come. */
  get complete(): boolean {
    return this.#lengthBytes === undefined || this.seenBytes === this.#lengthBytes;
  }

  counts(): TokenCounts | undefined {
    // Asked for whether the answer says something, and again for what is counted.
    if (this.#counted?.atBytes === this.seenBytes) return this.#counted.counts;
    const bytes = this.#bytes();
    const at = findUsage(bytes);
    const counts = at === -1 ? undefined : readUsage(bytes, at);
    this.#counted = { atBytes: this.seenBytes, counts };
    return counts;
  }

  /** Bytes of generated text; of a long body only its tail was looked at, and the rest counts whole. */
  textBytes(): number {
    return textBytes(this.#bytes()) + (this.seenBytes - this.#tailBytes);
  }

  #bytes(): Buffer {
    return this.#tail.length === 1 ? (this.#tail[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#tail, this.#tailBytes);
  }
}

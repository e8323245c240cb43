/**
 * Which node had which part of an answer, for its receipt: of each what was received from it, and what of that was text
 * for the caller, as salted hashes. Kept only where an answer may go on at another node; of an answer that one node gave
 * nothing is told.
 */
import { type Hash, createHash } from 'node:crypto';
import type { AnswerPart } from '@subcloud/contract/receipts';

interface OpenPart {
  readonly node: string;
  readonly text: Hash;
  textBytes: number;
  readonly received: Hash;
  receivedBytes: number;
}

export class AnswerParts {
  readonly #salt: string;
  readonly #closed: AnswerPart[] = [];
  #open: OpenPart | undefined;

  constructor(salt: string) {
    this.#salt = salt;
  }

  /** `node`, by its pseudonym, answers from now on. */
  begin(node: string): void {
    this.#close();
    const [text, received] = [this.#hash(), this.#hash()];
    this.#open = { node, text, textBytes: 0, received, receivedBytes: 0 };
  }

  received(bytes: Uint8Array): void {
    const open = this.#open;
    if (open === undefined) return;
    open.received.update(bytes);
    open.receivedBytes += bytes.byteLength;
  }

  said(text: string): void {
    const open = this.#open;
    if (open === undefined || text === '') return;
    open.text.update(text);
    open.textBytes += Buffer.byteLength(text);
  }

  /** All is said. Undefined where there is but one part. */
  end(): readonly AnswerPart[] | undefined {
    this.#close();
    return this.#closed.length > 1 ? this.#closed : undefined;
  }

  #close(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const { node, textBytes, receivedBytes } = open;
    this.#closed.push({
      node,
      text: open.text.digest('hex'),
      textBytes,
      received: open.received.digest('hex'),
      receivedBytes,
    });
  }

  #hash(): Hash {
    return createHash('sha256').update(this.#salt, 'hex');
  }
}

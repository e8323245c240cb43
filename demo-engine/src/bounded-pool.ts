import { ApiError } from './api-error.ts';

interface Waiting<Item> {
  readonly take: (item: Item) => void;
}

/** A fixed set of things, each used by one request at a time. Who comes later waits in line; the line is bounded. */
export class BoundedPool<Item> {
  readonly #free: Item[];
  readonly #line: Waiting<Item>[] = [];
  readonly #maxWaiting: number;

  constructor(items: readonly Item[], maxWaiting: number) {
    this.#free = [...items];
    this.#maxWaiting = maxWaiting;
  }

  /**
   * Resolves with an item that is the caller's until disposed of; first come, first served.
   *
   * @throws ApiError 429 at once if the line is full; the signal's reason if it aborts while waiting
   */
  async acquire(signal: AbortSignal): Promise<{ readonly item: Item } & Disposable> {
    signal.throwIfAborted();
    const item = this.#free.pop() ?? (await this.#wait(signal));
    return { item, [Symbol.dispose]: () => this.#release(item) };
  }

  #wait(signal: AbortSignal): Promise<Item> {
    if (this.#line.length >= this.#maxWaiting) {
      throw new ApiError(429, 'Too many requests wait for this model. Try again in a moment.', { code: 'queue_full' });
    }
    return new Promise<Item>((resolve, reject) => {
      const giveUp = () => {
        this.#line.splice(this.#line.indexOf(waiting), 1);
        reject(signal.reason as Error);
      };
      const waiting: Waiting<Item> = {
        take: (item) => {
          signal.removeEventListener('abort', giveUp);
          resolve(item);
        },
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#line.push(waiting);
    });
  }

  #release(item: Item): void {
    const next = this.#line.shift();
    if (next === undefined) this.#free.push(item);
    else next.take(item);
  }
}

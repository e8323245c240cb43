/** How much this node takes at once: requests as its operator allows, and bytes of bodies that it holds in memory. */
import { AppError } from '@subcloud/contract/errors';
import { LINK_MAX_CONCURRENT_STREAMS } from '@subcloud/contract/link';

/** Of all request bodies together that wait for an engine to take them. */
export const MAX_BUFFERED_BYTES = 67_108_864;

export interface Admission {
  readonly inFlight: number;
  inFlightOf(pool: string): number;
  /** Throws AppError (429) over the limit, or over the pool's share of it (above 0 and at most 1). The answer gives the place back, once. */
  enter(limit: number | null, pool: string, share?: number): () => void;
  /** Whenever a place was given back. */
  onLeave(listener: () => void): void;
  /** Throws AppError (429) when all bodies together would be too much. */
  hold(bytes: number): void;
  release(bytes: number): void;
  /** Resolves when nothing is in flight. */
  idle(): Promise<void>;
}

export function createAdmission(maxBufferedBytes: number = MAX_BUFFERED_BYTES): Admission {
  let inFlight = 0;
  let heldBytes = 0;
  let waiting: (() => void)[] = [];
  const byPool = new Map<string, number>();
  const listeners: (() => void)[] = [];
  return {
    get inFlight() {
      return inFlight;
    },
    inFlightOf: (pool) => byPool.get(pool) ?? 0,
    onLeave: (listener) => void listeners.push(listener),
    enter(limit, pool, share) {
      const places = Math.min(limit ?? LINK_MAX_CONCURRENT_STREAMS, LINK_MAX_CONCURRENT_STREAMS);
      const ofPool = share === undefined ? places : Math.max(1, Math.floor(share * places + 1e-9));
      if (inFlight >= places || (byPool.get(pool) ?? 0) >= ofPool) {
        throw new AppError('capacity.overloaded', { message: 'The node answers as many as it may.', retryAfterS: 1 });
      }
      inFlight++;
      byPool.set(pool, (byPool.get(pool) ?? 0) + 1);
      let inside = true;
      return () => {
        if (!inside) return;
        inside = false;
        inFlight--;
        const left = (byPool.get(pool) ?? 1) - 1;
        if (left === 0) byPool.delete(pool);
        else byPool.set(pool, left);
        for (const listener of listeners) listener();
        if (inFlight > 0) return;
        const woken = waiting;
        waiting = [];
        for (const wake of woken) wake();
      };
    },
    hold(bytes) {
      if (heldBytes + bytes > maxBufferedBytes) {
        throw new AppError('capacity.overloaded', {
          message: 'The node holds as many bytes as it may.',
          retryAfterS: 1,
        });
      }
      heldBytes += bytes;
    },
    release(bytes) {
      heldBytes -= bytes;
    },
    idle: () => (inFlight === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
  };
}

/**
 * Time and chance, injected. Nothing else in the project reads the clock, sets a timer or draws a random number, so that
 * a test can own all three. `systemClock` is the real one; testkit has one that can be moved.
 */
import { randomFillSync } from 'node:crypto';

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall clock, milliseconds since the epoch. May jump. */
  nowMs(): number;
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonicMs(): number;
  /** Runs `task` once after `delayMs`. Never keeps the process alive by itself. */
  after(delayMs: number, task: () => void): Timer;
  /** Runs `task` every `periodMs`. Never keeps the process alive by itself. */
  every(periodMs: number, task: () => void): Timer;
  /** Resolves after `delayMs`; rejects with the signal's reason when it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, task) {
    const handle = setTimeout(task, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  every(periodMs, task) {
    const handle = setInterval(task, periodMs);
    handle.unref();
    return { cancel: () => clearInterval(handle) };
  },
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason as Error);
      const handle = setTimeout(() => {
        signal?.removeEventListener('abort', stop);
        resolve();
      }, delayMs);
      const stop = (): void => {
        clearTimeout(handle);
        reject(signal?.reason as Error);
      };
      signal?.addEventListener('abort', stop, { once: true });
    });
  },
};

/** A number in [0, 1). */
export type Random = () => number;
export const systemRandom: Random = () => Math.random();

/** Back-off with full jitter: between 0 and min(capMs, baseMs * 2^attempt); attempt counts from 0. */
export function jitteredBackoffMs(attempt: number, options: { baseMs: number; capMs: number }, random: Random): number {
  return Math.min(options.capMs, options.baseMs * 2 ** Math.min(attempt, 30)) * random();
}

const ID_ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const ID_BYTES = 20;
/** Drawn for many ids at once: a call into the system's generator for each would cost more than the rest of an id. */
const idBytes = Buffer.alloc(ID_BYTES * 256);
let idBytesUsed = idBytes.byteLength;

/** `prefix_` and 20 characters of Crockford base32: 100 random bits. */
export function newId(prefix: string): string {
  if (idBytesUsed === idBytes.byteLength) {
    randomFillSync(idBytes);
    idBytesUsed = 0;
  }
  const end = idBytesUsed + ID_BYTES;
  let text = `${prefix}_`;
  for (; idBytesUsed < end; idBytesUsed += 1) text += ID_ALPHABET[(idBytes[idBytesUsed] ?? 0) & 31];
  return text;
}

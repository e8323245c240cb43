/**
 * A clock that runs with the real one and can be moved ahead: sockets and engines stay real, and a day passes in a
 * moment. `advance` fires every timer that falls due, in order of time.
 */
import type { Clock, Timer } from '@subcloud/kit/clock';

export interface ControllableClock extends Clock {
  /** Moves wall and monotonic clock ahead together. */
  advance(byMs: number): void;
  /** Moves the wall clock alone, as a person or a bad time server does. */
  jumpWallClock(byMs: number): void;
}

interface Entry {
  dueMs: number;
  readonly periodMs: number | null;
  readonly task: () => void;
  cancelled: boolean;
}

/** Timers that fall due are looked for this often at least, while time runs by itself. */
const TICK_MS = 5;

export function controllableClock(): ControllableClock & Disposable {
  const entries = new Set<Entry>();
  const started = performance.now();
  let aheadMs = 0;
  let wallOffsetMs = Date.now() - started;

  const monotonicMs = (): number => performance.now() + aheadMs;
  const fire = (): void => {
    for (;;) {
      const now = monotonicMs();
      let next: Entry | undefined;
      for (const entry of entries)
        if (entry.dueMs <= now && (next === undefined || entry.dueMs < next.dueMs)) next = entry;
      if (next === undefined) return;
      // A period that was jumped over fires once, as a real interval timer does after a stall.
      if (next.periodMs === null) entries.delete(next);
      else next.dueMs = now + next.periodMs;
      if (!next.cancelled) next.task();
    }
  };
  const ticker = setInterval(fire, TICK_MS);
  ticker.unref();
  const add = (delayMs: number, periodMs: number | null, task: () => void): Timer => {
    const entry: Entry = { dueMs: monotonicMs() + Math.max(0, delayMs), periodMs, task, cancelled: false };
    entries.add(entry);
    return {
      cancel: () => {
        entry.cancelled = true;
        entries.delete(entry);
      },
    };
  };
  return {
    nowMs: () => Math.round(monotonicMs() + wallOffsetMs),
    monotonicMs,
    after: (delayMs, task) => add(delayMs, null, task),
    every: (periodMs, task) => add(periodMs, Math.max(1, periodMs), task),
    sleep: (delayMs, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(signal.reason as Error);
        const timer = add(delayMs, null, () => {
          signal?.removeEventListener('abort', stop);
          resolve();
        });
        function stop(): void {
          timer.cancel();
          reject(signal?.reason as Error);
        }
        signal?.addEventListener('abort', stop, { once: true });
      }),
    advance(byMs) {
      aheadMs += byMs;
      fire();
    },
    jumpWallClock(byMs) {
      wallOffsetMs += byMs;
    },
    [Symbol.dispose]: () => clearInterval(ticker),
  };
}

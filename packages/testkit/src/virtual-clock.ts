/**
 * A clock that stands still until it is moved: for seeded runs, where the same seed must give the same order of events.
 * Moving it fires what falls due, in order of time and then of setting.
 */
import type { Clock, Timer } from '@subcloud/kit/clock';

export interface VirtualClock extends Clock {
  /** Moves wall and monotonic clock together. Timers see the time that they were set for. */
  advance(byMs: number): void;
  /** Milliseconds until the next timer; undefined: none is set. */
  nextTimerInMs(): number | undefined;
}

interface Entry {
  dueMs: number;
  readonly periodMs: number | null;
  readonly order: number;
  readonly task: () => void;
}

export function virtualClock(startWallMs = 1_800_000_000_000): VirtualClock {
  const entries = new Set<Entry>();
  let monotonicMs = 0;
  let order = 0;
  const first = (): Entry | undefined => {
    let best: Entry | undefined;
    for (const entry of entries) {
      if (best === undefined || entry.dueMs < best.dueMs || (entry.dueMs === best.dueMs && entry.order < best.order))
        best = entry;
    }
    return best;
  };
  const add = (delayMs: number, periodMs: number | null, task: () => void): Timer => {
    order += 1;
    const entry: Entry = { dueMs: monotonicMs + Math.max(0, delayMs), periodMs, order, task };
    entries.add(entry);
    return { cancel: () => void entries.delete(entry) };
  };
  return {
    nowMs: () => startWallMs + monotonicMs,
    monotonicMs: () => monotonicMs,
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
      const end = monotonicMs + byMs;
      for (let next = first(); next !== undefined && next.dueMs <= end; next = first()) {
        monotonicMs = Math.max(monotonicMs, next.dueMs);
        if (next.periodMs === null) entries.delete(next);
        else next.dueMs += next.periodMs;
        next.task();
      }
      monotonicMs = end;
    },
    nextTimerInMs() {
      const next = first();
      return next === undefined ? undefined : Math.max(0, next.dueMs - monotonicMs);
    },
  };
}

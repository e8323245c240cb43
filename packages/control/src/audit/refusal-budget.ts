/**
 * How many refusals of one caller are written down: enough to see what it tries, too few to fill the disk with. What is
 * over is counted, and the next entry of that caller says how many are missing.
 */
import type { Clock } from '@subcloud/kit/clock';

const ENTRIES_A_MINUTE = 60;
const MINUTE_MS = 60_000;
/** Callers remembered at once; beyond them all share the last budget. */
const MAX_CALLERS = 10_000;
const OTHERS = 'others';

export interface RefusalBudget {
  /** How many refusals of this caller were left out before this one; undefined: leave this one out too. */
  take(caller: string): number | undefined;
}

export function createRefusalBudget(clock: Clock): RefusalBudget {
  const callers = new Map<string, { tokens: number; filledMs: number; left: number }>();
  return {
    take(caller) {
      const nowMs = clock.monotonicMs();
      if (!callers.has(caller) && callers.size >= MAX_CALLERS) forgetFull(callers, nowMs);
      const key = callers.has(caller) || callers.size < MAX_CALLERS ? caller : OTHERS;
      const budget = callers.get(key) ?? { tokens: ENTRIES_A_MINUTE, filledMs: nowMs, left: 0 };
      callers.set(key, budget);
      budget.tokens = refilled(budget, nowMs);
      budget.filledMs = nowMs;
      if (budget.tokens < 1) {
        budget.left += 1;
        return undefined;
      }
      budget.tokens -= 1;
      const { left } = budget;
      budget.left = 0;
      return left;
    },
  };
}

function refilled({ tokens, filledMs }: { tokens: number; filledMs: number }, nowMs: number): number {
  return Math.min(ENTRIES_A_MINUTE, tokens + ((nowMs - filledMs) * ENTRIES_A_MINUTE) / MINUTE_MS);
}

function forgetFull(callers: Map<string, { tokens: number; filledMs: number; left: number }>, nowMs: number): void {
  for (const [caller, budget] of callers)
    if (budget.left === 0 && refilled(budget, nowMs) >= ENTRIES_A_MINUTE) callers.delete(caller);
}

/**
 * How many requests a gateway may open and give up before they have an answer ("rapid reset"): each costs the agent a
 * stream and its place, and the gateway next to nothing.
 *
 * nghttp2 has a limit of its own, which Node sets by `streamResetBurst`. It is switched off (`UNLIMITED_RESETS`): where it
 * strikes, Node 24 aborts the whole process in native code when the session is collected
 * (`Assertion failed: current_nghttp2_memory_ == 0`), so that a gateway could end its agents.
 */
import type { ServerHttp2Stream } from 'node:http2';
import type { Clock } from '@subcloud/kit/clock';

export const UNLIMITED_RESETS = { streamResetBurst: 2 ** 31, streamResetRate: 2 ** 31 } as const;

/** Callers that leave while they wait, all at once. */
export const MAX_RESETS_AT_ONCE = 500;
export const MAX_RESETS_A_SECOND = 100;

export interface ResetLimit {
  /** To be told of every request, when it comes. */
  watch(stream: ServerHttp2Stream): void;
}

export function createResetLimit(clock: Clock, onExceeded: () => void): ResetLimit {
  let left = MAX_RESETS_AT_ONCE;
  let filledMs = clock.monotonicMs();
  const given = (): void => {
    const nowMs = clock.monotonicMs();
    left = Math.min(MAX_RESETS_AT_ONCE, left + ((nowMs - filledMs) * MAX_RESETS_A_SECOND) / 1_000);
    filledMs = nowMs;
    if (left < 1) return onExceeded();
    left -= 1;
  };
  return {
    watch(stream) {
      // The agent itself answers everything, if only with an error.
      stream.once('close', () => {
        if (!stream.headersSent) given();
      });
    },
  };
}

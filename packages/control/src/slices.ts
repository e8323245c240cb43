import type { Clock } from '@subcloud/kit/clock';

/** How long one piece of long work keeps the loop to itself. */
const SLICE_MS = 5;

/**
 * Long work in slices: `due` says when links, leases and requests want a turn, and `pause` gives it to them. Between two
 * slices anything that is not serialised with the work may happen.
 */
export interface Slices {
  due(): boolean;
  pause(): Promise<void>;
}

export function slices(clock: Pick<Clock, 'monotonicMs'>): Slices {
  let endMs = clock.monotonicMs() + SLICE_MS;
  return {
    due: () => clock.monotonicMs() >= endMs,
    async pause() {
      await new Promise((resolve) => setImmediate(resolve));
      endMs = clock.monotonicMs() + SLICE_MS;
    },
  };
}

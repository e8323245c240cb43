/** Control's clock as this gateway knows it: the last time it was told, and what its own monotonic clock counted since. */
import type { Clock } from '@subcloud/kit/clock';

export interface ControlTime {
  /** Milliseconds since the epoch, by control's clock. Before the first message, this machine's wall clock. */
  nowMs(): number;
  /** `nowMs` is what control said; `heardAtMs` the monotonic time that it is true for. */
  heard(nowMs: number, heardAtMs: number): void;
}

export function controlTime(clock: Clock): ControlTime {
  let offsetMs = clock.nowMs() - clock.monotonicMs();
  return {
    nowMs: () => clock.monotonicMs() + offsetMs,
    heard(nowMs, heardAtMs) {
      offsetMs = nowMs - heardAtMs;
    },
  };
}

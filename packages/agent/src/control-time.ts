/**
 * Control's time as this process knows it: what a gateway last said, carried on by the monotonic clock, so that setting
 * the wall clock neither revives nor ends a document. Before any gateway has spoken it is the wall clock.
 *
 * What the network signed bounds it from below: a gateway that says an earlier time than that of a document which was
 * here already cannot keep an expired one alive. A gateway that says a later time than it is makes every proof look
 * expired, its own too; while no link is up, such a failure makes the agent forget what it was told.
 */
import type { Clock } from '@subcloud/kit/clock';

export interface ControlTime {
  nowMs(): number;
  /** What a gateway says that control's clock shows. */
  heard(nowMs: number): void;
  /** The issue time of a document whose signature holds. */
  signed(issuedAtMs: number): void;
  /** Forgets what gateways said: by it, no gateway's proof holds any more. */
  distrust(): void;
}

export function createControlTime(clock: Clock): ControlTime {
  let offsetMs: number | undefined;
  let leastOffsetMs = Number.NEGATIVE_INFINITY;
  return {
    nowMs() {
      const monotonicMs = clock.monotonicMs();
      const believedMs = offsetMs === undefined ? clock.nowMs() : monotonicMs + offsetMs;
      return Math.max(believedMs, monotonicMs + leastOffsetMs);
    },
    heard(nowMs) {
      offsetMs = nowMs - clock.monotonicMs();
    },
    distrust() {
      offsetMs = undefined;
    },
    signed(issuedAtMs) {
      leastOffsetMs = Math.max(leastOffsetMs, issuedAtMs - clock.monotonicMs());
    },
  };
}

/**
 * The right to serve by the table at hand. It counts from the moment the request for it was *sent*, and by whichever of
 * the two clocks ran further: a machine that was suspended keeps its monotonic clock and must not serve by an old table.
 * A wall clock that jumps ahead costs at most the moments until the next acknowledgement.
 */
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import type { Clock } from '@subcloud/kit/clock';

export interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export interface Lease {
  /** Taken before a request for the lease leaves. */
  mark(): Moment;
  /** Control granted `leaseMs` to the request that was sent at `sentAt`; never more than the contract's own bound. */
  granted(sentAt: Moment, leaseMs: number): void;
  /** Control has said no for good: nobody is served from now on, whatever was granted. */
  drop(): void;
  live(): boolean;
}

export function createLease(clock: Clock): Lease {
  let grantedAt: Moment | undefined;
  let lengthMs = 0;
  const elapsedMs = (since: Moment): number =>
    Math.max(clock.monotonicMs() - since.monotonicMs, clock.nowMs() - since.wallMs);
  return {
    mark: () => ({ wallMs: clock.nowMs(), monotonicMs: clock.monotonicMs() }),
    granted(sentAt, leaseMs) {
      grantedAt = sentAt;
      lengthMs = Math.min(leaseMs, TABLE_LEASE_MS);
    },
    drop() {
      grantedAt = undefined;
    },
    live: () => grantedAt !== undefined && elapsedMs(grantedAt) < lengthMs,
  };
}

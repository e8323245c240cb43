import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import { systemClock } from '@subcloud/kit/clock';
import { expect, test } from 'vitest';
import { createLease } from './lease.ts';

function handMovedClock() {
  const at = { wallMs: 1_000_000, monotonicMs: 5_000 };
  return { at, clock: { ...systemClock, nowMs: () => at.wallMs, monotonicMs: () => at.monotonicMs } };
}

test('a lease counts from when it was asked for, not from when the answer came', () => {
  const { at, clock } = handMovedClock();
  const lease = createLease(clock);
  expect(lease.live()).toBe(false);
  const asked = lease.mark();
  at.monotonicMs += 40_000;
  at.wallMs += 40_000;
  lease.granted(asked, TABLE_LEASE_MS);
  expect(lease.live()).toBe(true);
  at.monotonicMs += 19_999;
  expect(lease.live()).toBe(true);
  at.monotonicMs += 1;
  expect(lease.live()).toBe(false);
});

test('a machine that slept does not serve by its old table, although its monotonic clock stood still', () => {
  const { at, clock } = handMovedClock();
  const lease = createLease(clock);
  lease.granted(lease.mark(), TABLE_LEASE_MS);
  at.wallMs += TABLE_LEASE_MS;
  expect(lease.live()).toBe(false);
});

test('a wall clock that goes back does not prolong a lease, and no grant is longer than the contract allows', () => {
  const { at, clock } = handMovedClock();
  const lease = createLease(clock);
  lease.granted(lease.mark(), 10 * TABLE_LEASE_MS);
  at.wallMs -= 3_600_000;
  at.monotonicMs += TABLE_LEASE_MS;
  expect(lease.live()).toBe(false);
});

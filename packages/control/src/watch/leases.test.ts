import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import { WATCH_ACK_MS, WATCH_LAG_MS } from '@subcloud/contract/watch';
import { type VirtualClock, virtualClock } from '@subcloud/testkit/virtual-clock';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Leases, createLeases } from './leases.ts';

function setUp(
  remembered: ReadonlyMap<string, number> = new Map(),
  firstVersion = 0,
): { clock: VirtualClock; leases: Leases } {
  const clock = virtualClock();
  return { clock, leases: createLeases(clock, remembered, firstVersion) };
}

/** Lets promises that wait for a timer or a listener go on. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}

describe('a version is concluded', () => {
  it('at once where nobody has a lease', () => {
    expect(setUp().leases.concluded(7)).toBe(true);
  });

  it('when the last of those with a live lease has acknowledged it, and not before', () => {
    const { leases } = setUp();
    for (const gateway of ['gw_a', 'gw_b']) leases.acknowledge(gateway, 'boot', 1);
    leases.published(2);
    expect(leases.concluded(2)).toBe(false);
    leases.acknowledge('gw_a', 'boot', 2);
    expect(leases.concluded(2)).toBe(false);
    leases.acknowledge('gw_b', 'boot', 2);
    expect(leases.concluded(2)).toBe(true);
  });

  it('by a gateway that acknowledged a later one', () => {
    const { leases } = setUp();
    leases.acknowledge('gw_a', 'boot', 1);
    leases.published(2);
    leases.published(3);
    leases.acknowledge('gw_a', 'boot', 3);
    expect(leases.concluded(2)).toBe(true);
  });

  it('when the lease of who is silent has run out, to the millisecond', () => {
    const { clock, leases } = setUp();
    leases.acknowledge('gw_a', 'boot', 1);
    clock.advance(TABLE_LEASE_MS - 1);
    expect(leases.concluded(2)).toBe(false);
    clock.advance(1);
    expect(leases.concluded(2)).toBe(true);
  });

  it('for ever: who comes back with an older table gets no lease', () => {
    const { clock, leases } = setUp();
    leases.acknowledge('gw_a', 'boot', 1);
    clock.advance(TABLE_LEASE_MS);
    expect(leases.concluded(2)).toBe(true);
    expect(leases.acknowledge('gw_a', 'boot', 1)).toBe(false);
    expect(leases.acknowledge('gw_new', 'boot', 1)).toBe(false);
    expect(leases.concluded(2)).toBe(true);
    expect(leases.acknowledge('gw_a', 'boot', 2)).toBe(true);
  });

  it('not by an acknowledgement of an earlier run of the same gateway', () => {
    const { leases } = setUp();
    leases.acknowledge('gw_a', 'first', 5);
    leases.acknowledge('gw_a', 'second', 3);
    expect(leases.concluded(4)).toBe(false);
    leases.acknowledge('gw_a', 'second', 4);
    expect(leases.concluded(4)).toBe(true);
  });

  it('not by an acknowledgement that was overtaken by a later one', () => {
    const { leases } = setUp();
    leases.acknowledge('gw_a', 'boot', 3);
    leases.acknowledge('gw_a', 'boot', 2);
    expect(leases.concluded(3)).toBe(true);
  });

  it('only when the leases that an earlier run of control may have granted are over', () => {
    const { clock, leases } = setUp(new Map([['gw_a', TABLE_LEASE_MS]]));
    expect(leases.concluded(10)).toBe(false);
    clock.advance(TABLE_LEASE_MS - 1);
    expect(leases.concluded(10)).toBe(false);
    clock.advance(1);
    expect(leases.concluded(10)).toBe(true);
  });

  it('for ever, across a restart of control: nobody gets a lease for a table of an earlier run', () => {
    const { leases } = setUp(new Map([['gw_a', TABLE_LEASE_MS]]), 100);
    expect(leases.acknowledge('gw_b', 'boot', 99)).toBe(false);
    expect(leases.acknowledge('gw_a', 'boot', 99)).toBe(false);
    expect(leases.acknowledge('gw_b', 'boot', 100)).toBe(true);
  });

  it('as soon as the gateway that is remembered speaks', () => {
    const { leases } = setUp(new Map([['gw_a', TABLE_LEASE_MS]]));
    leases.acknowledge('gw_a', 'boot', 10);
    expect(leases.concluded(10)).toBe(true);
  });
});

describe('a lease', () => {
  it('is granted to who has the newest table, and renewed by each acknowledgement', () => {
    const { clock, leases } = setUp();
    leases.published(1);
    for (let round = 0; round < 100; round += 1) {
      expect(leases.acknowledge('gw_a', 'boot', 1)).toBe(true);
      clock.advance(WATCH_ACK_MS);
    }
    leases.published(2);
    expect(leases.concluded(2)).toBe(false);
  });

  it('is granted to who is a little behind, and not to who lags', () => {
    const { clock, leases } = setUp();
    leases.published(1);
    leases.acknowledge('gw_a', 'boot', 1);
    leases.published(2);
    clock.advance(WATCH_LAG_MS);
    expect(leases.acknowledge('gw_a', 'boot', 1)).toBe(true);
    clock.advance(1);
    expect(leases.acknowledge('gw_a', 'boot', 1)).toBe(false);
    expect(leases.acknowledge('gw_a', 'boot', 2)).toBe(true);
  });

  it('counts lag from the first version that is missing, however many follow', () => {
    const { clock, leases } = setUp();
    leases.acknowledge('gw_a', 'boot', 1);
    for (let version = 2; version < 300; version += 1) {
      leases.published(version);
      clock.advance(100);
    }
    expect(leases.acknowledge('gw_a', 'boot', 1)).toBe(false);
    expect(leases.acknowledge('gw_a', 'boot', 290)).toBe(true);
  });
});

describe('a withdrawal', () => {
  it('is complete when all have acknowledged, without waiting for the time', async () => {
    const { leases } = setUp();
    leases.acknowledge('gw_a', 'boot', 1);
    leases.published(2);
    const waiting = leases.wait(2, 5_000);
    leases.acknowledge('gw_a', 'boot', 2);
    expect(await waiting).toEqual({ complete: true, tableVersion: 2, outstanding: [] });
  });

  it('names who is outstanding, and until when that one may serve', async () => {
    const { clock, leases } = setUp();
    leases.acknowledge('gw_a', 'boot', 1);
    leases.acknowledge('gw_b', 'boot', 1);
    const leaseEndsAt = new Date(clock.nowMs() + TABLE_LEASE_MS).toISOString();
    clock.advance(1_000);
    leases.published(2);
    leases.acknowledge('gw_b', 'boot', 2);
    const waiting = leases.wait(2, 5_000);
    await advanceInSteps(clock, 5_000);
    expect(await waiting).toEqual({
      complete: false,
      tableVersion: 2,
      outstanding: [{ gateway: 'gw_a', leaseEndsAt }],
    });
  });

  it('that was answered with who is outstanding is not concluded before that one is through', async () => {
    const { clock, leases } = setUp();
    leases.acknowledge('gw_a', 'boot', 1);
    leases.published(2);
    const first = leases.wait(2, 1_000);
    await advanceInSteps(clock, 1_000);
    expect(await first).toMatchObject({ complete: false });
    expect(leases.concluded(2)).toBe(false);
    // Asked again, the answer is the same: it may still serve by the old rule.
    const second = leases.wait(2, 1_000);
    await advanceInSteps(clock, 1_000);
    expect(await second).toMatchObject({ complete: false });
    clock.advance(TABLE_LEASE_MS);
    expect(leases.concluded(2)).toBe(true);
  });

  it('keeps the end that it announced: who is outstanding gets no further lease', async () => {
    const { clock, leases } = setUp();
    leases.acknowledge('gw_a', 'boot', 1);
    leases.published(2);
    const waiting = leases.wait(2, 1_000);
    await advanceInSteps(clock, 1_000);
    const { outstanding } = await waiting;
    expect(leases.acknowledge('gw_a', 'boot', 1)).toBe(false);
    const endsMs = Date.parse(outstanding[0]?.leaseEndsAt ?? '');
    clock.advance(endsMs - clock.nowMs());
    expect(leases.concluded(2)).toBe(true);
  });

  it('notices that a lease ran out while it waits, though nobody speaks', async () => {
    const { clock, leases } = setUp();
    leases.acknowledge('gw_a', 'boot', 1);
    clock.advance(TABLE_LEASE_MS - 1_000);
    leases.published(2);
    const waiting = leases.wait(2, 5_000);
    await advanceInSteps(clock, 1_500);
    expect(await waiting).toMatchObject({ complete: true });
  });
});

it('no gateway that could still be routing is ever passed over', async () => {
  const gateways = ['gw_a', 'gw_b', 'gw_c'];
  const event = fc.oneof(
    fc.record({ type: fc.constant('publish' as const) }),
    fc.record({ type: fc.constant('acknowledge' as const), gateway: fc.constantFrom(...gateways), lag: fc.nat(4) }),
    fc.record({ type: fc.constant('reboot' as const), gateway: fc.constantFrom(...gateways) }),
    fc.record({ type: fc.constant('conclude' as const), back: fc.nat(4) }),
    fc.record({ type: fc.constant('wait' as const), back: fc.nat(2) }),
    fc.record({
      type: fc.constant('time' as const),
      ms: fc.constantFrom(1, 100, 2_000, WATCH_LAG_MS, TABLE_LEASE_MS - 1, TABLE_LEASE_MS),
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 60 }), async (events) => {
      const { clock, leases } = setUp();
      // What a gateway knows of itself: the table that it routes by, and how long it may.
      const routing = new Map<string, { table: number; boot: number; untilMs: number }>();
      let version = 1;
      let concluded = 0;
      for (const happens of events) {
        switch (happens.type) {
          case 'publish':
            version += 1;
            leases.published(version);
            break;
          case 'acknowledge': {
            const own = routing.get(happens.gateway) ?? { table: 0, boot: 0, untilMs: 0 };
            const table = Math.max(own.table, version - happens.lag);
            const granted = leases.acknowledge(happens.gateway, String(own.boot), table);
            const untilMs = granted ? clock.monotonicMs() + TABLE_LEASE_MS : own.untilMs;
            routing.set(happens.gateway, { ...own, table, untilMs });
            break;
          }
          case 'reboot': {
            const own = routing.get(happens.gateway);
            if (own !== undefined) routing.set(happens.gateway, { table: 0, boot: own.boot + 1, untilMs: 0 });
            break;
          }
          case 'conclude':
            if (leases.concluded(version - happens.back)) concluded = Math.max(concluded, version - happens.back);
            break;
          case 'wait': {
            const waiting = leases.wait(version - happens.back, 500);
            await advanceInSteps(clock, 500);
            if ((await waiting).complete) concluded = Math.max(concluded, version - happens.back);
            break;
          }
          case 'time':
            clock.advance(happens.ms);
            break;
        }
        for (const { table, untilMs } of routing.values()) {
          if (untilMs > clock.monotonicMs()) expect(table).toBeGreaterThanOrEqual(concluded);
        }
      }
    }),
    { numRuns: 1_000 },
  );
});

async function advanceInSteps(clock: VirtualClock, byMs: number): Promise<void> {
  for (let leftMs = byMs; leftMs > 0; ) {
    const stepMs = Math.min(leftMs, Math.max(1, clock.nextTimerInMs() ?? leftMs));
    clock.advance(stepMs);
    leftMs -= stepMs;
    await turns();
  }
}

describe('a gateway on another machine', () => {
  it('counts with each of its processes: a new one does not end what an earlier one may still serve by', () => {
    const { clock, leases } = setUp();
    leases.acknowledge('gw_a', 'first', 1, 'many');
    leases.published(2);
    clock.advance(1_000);
    expect(leases.acknowledge('gw_a', 'second', 2, 'many')).toBe(true);
    expect(leases.concluded(2)).toBe(false);
    expect(leases.of('gw_a')).toEqual({ endsAtMs: clock.monotonicMs() + TABLE_LEASE_MS, acknowledged: 1 });
    clock.advance(TABLE_LEASE_MS - 1_000);
    expect(leases.concluded(2)).toBe(true);
    expect(leases.of('gw_a')).toMatchObject({ acknowledged: 2 });
  });

  it('no longer counts from the moment in which its process gave the lease back', () => {
    const { leases } = setUp();
    leases.acknowledge('gw_a', 'first', 1, 'many');
    leases.acknowledge('gw_a', 'second', 1, 'many');
    leases.published(2);
    leases.acknowledge('gw_a', 'second', 2, 'many');
    leases.release('gw_a', 'first');
    expect(leases.concluded(2)).toBe(true);
  });

  it('is remembered by process after a restart of control', () => {
    const { clock, leases } = setUp(new Map([['gw_a/first', TABLE_LEASE_MS]]), 5);
    leases.acknowledge('gw_a', 'second', 6, 'many');
    expect(leases.concluded(6)).toBe(false);
    leases.acknowledge('gw_a', 'first', 6, 'many');
    expect(leases.concluded(6)).toBe(true);
    expect(clock.monotonicMs()).toBeLessThan(TABLE_LEASE_MS);
  });
});

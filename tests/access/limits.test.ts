/** The limiter against a naive model of it: one gateway exactly, several never more than the sum. */
import type { CredentialRow, PoolRow } from '@subcloud/contract/table';
import type { LimitSet } from '@subcloud/contract/vocabulary';
import { createShares } from '@subcloud/control/limits/shares';
import { type DayBases, Limiter, type Ticket } from '@subcloud/gateway/limits/limiter';
import { credentialRow, poolRow } from '@subcloud/testkit/test-gateway';
import { type VirtualClock, virtualClock } from '@subcloud/testkit/virtual-clock';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NaiveCount, type NaiveLimits } from './naive-limits.ts';

const DAY = 86_400_000;
const START = 20_000 * DAY + 12 * 3_600_000;
const NO_BASES: DayBases = { day: 0, used: new Map(), included: new Map() };

const some = (max: number) => fc.option(fc.integer({ min: 1, max }), { nil: undefined, freq: 2 });
/** Limits with at least one of them; `{}` where drawn so. */
const limits: fc.Arbitrary<LimitSet> = fc
  .record({ requestsPerMinute: some(6), tokensPerMinute: some(400), concurrent: some(4), tokensPerDay: some(2_000) })
  .map((drawn) => Object.fromEntries(Object.entries(drawn).filter(([, value]) => value !== undefined)) as LimitSet);
const maybe = <Value>(of: fc.Arbitrary<Value>) => fc.option(of, { nil: undefined });

interface Caller {
  readonly principal: string;
  readonly token: string;
}
const CALLERS: readonly Caller[] = [
  { principal: 'user:ann', token: 'key_1' },
  { principal: 'user:ann', token: 'key_2' },
  { principal: 'user:bob', token: 'key_3' },
];

const event = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('request' as const),
      caller: fc.nat(CALLERS.length - 1),
      tokens: fc.integer({ min: 1, max: 150 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('end' as const), which: fc.nat(20), used: fc.nat(200) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('time' as const),
      ms: fc.oneof(fc.constantFrom(1, 999, 10_000, 60_000), fc.nat(20_000), fc.constant(DAY)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('revision' as const) }) },
);

function rows(caller: Caller, set: Sets): { pool: PoolRow; credential: CredentialRow } {
  const { own, total, token } = set;
  const pool = poolRow('pool', {
    access: {
      tokens: false,
      ...(own === undefined && total === undefined
        ? {}
        : { limits: { ...own, ...(total === undefined ? {} : { total }) } }),
    },
  })[1];
  const credential = credentialRow(caller.token, {
    id: caller.token,
    principal: caller.principal as 'user:x',
    ...(token === undefined ? {} : { limits: token }),
  })[1];
  return { pool, credential };
}

interface Sets {
  readonly own: LimitSet | undefined;
  readonly total: LimitSet | undefined;
  readonly token: LimitSet | undefined;
}
const sets = fc
  .record({ own: maybe(limits), total: maybe(limits), token: maybe(limits) })
  .map(({ own, total, token }): Sets => ({ own: filled(own), total: filled(total), token: filled(token) }));
function filled(set: LimitSet | undefined): LimitSet | undefined {
  return set === undefined || Object.keys(set).length === 0 ? undefined : set;
}

/** The naive network: a count for the token, the caller and the pool. */
class Naive {
  readonly #counts = new Map<string, NaiveCount>();

  scopes({ principal, token: id }: Caller, { own, total, token }: Sets): [string, NaiveLimits][] {
    return [
      ...(token === undefined ? [] : [[`token ${id}`, token] as [string, NaiveLimits]]),
      ...(own === undefined ? [] : [[`caller ${principal}`, own] as [string, NaiveLimits]]),
      ...(total === undefined ? [] : [['total', total] as [string, NaiveLimits]]),
    ];
  }

  admit(scopes: readonly [string, NaiveLimits][], tokens: number, now: number, day: number): boolean {
    const may = scopes.map(([key, set]) => this.count(key).admits(set, tokens, now, day));
    if (may.includes(false)) return false;
    for (const [key, set] of scopes) this.count(key).take(set, tokens, day);
    return true;
  }

  end(scopes: readonly [string, NaiveLimits][], tokens: number, used: number, now: number, day: number): void {
    for (const [key, set] of scopes) this.count(key).end(set, tokens, used, now, day);
  }

  count(key: string): NaiveCount {
    const count = this.#counts.get(key) ?? new NaiveCount();
    this.#counts.set(key, count);
    return count;
  }
}

describe('one gateway', () => {
  test('admits exactly what a naive model admits, under every order of requests, ends and time', () => {
    let admitted = 0;
    let refused = 0;
    fc.assert(
      fc.property(sets, fc.array(event, { minLength: 10, maxLength: 100, size: 'max' }), (set, events) => {
        const limiter = new Limiter();
        limiter.adopt({ lo: 0, hi: 1 }, Infinity, NO_BASES, { nowMs: 0, atMs: START });
        const naive = new Naive();
        let now = 0;
        const running: { ticket: Ticket; scopes: [string, NaiveLimits][]; tokens: number; day: number }[] = [];
        for (const happens of events) {
          const atMs = START + now;
          const day = Math.floor(atMs / DAY);
          if (happens.type === 'time') now += happens.ms;
          if (happens.type === 'revision') limiter.prune({ nowMs: now, atMs });
          if (happens.type === 'end' && running.length > 0) {
            const [done] = running.splice(happens.which % running.length, 1);
            if (done === undefined) continue;
            limiter.settle(done.ticket, happens.used, now);
            // A second end of the same request changes nothing.
            limiter.settle(done.ticket, happens.used, now);
            naive.end(done.scopes, done.tokens, happens.used, now, done.day);
          }
          if (happens.type !== 'request') continue;
          const caller = CALLERS[happens.caller] ?? { principal: '', token: '' };
          const { pool, credential } = rows(caller, set);
          const scopes = naive.scopes(caller, set);
          const wanted = naive.admit(scopes, happens.tokens, now, day);
          const got = limiter.admit(pool, credential, happens.tokens, { nowMs: now, atMs });
          expect(got.ok).toBe(wanted);
          if (got.ok) running.push({ ticket: got.ticket, scopes, tokens: happens.tokens, day });
          if (scopes.length > 0 && wanted) admitted += 1;
          if (!wanted) refused += 1;
        }
      }),
      { numRuns: 2_000 },
    );
    expect(admitted).toBeGreaterThan(500);
    expect(refused).toBeGreaterThan(500);
  });

  test('a refusal says when to come again, and then it is admitted', () => {
    fc.assert(
      fc.property(
        limits.filter((set) => Object.keys(set).length > 0),
        fc.integer({ min: 1, max: 500 }),
        (set, tokens) => {
          const limiter = new Limiter();
          limiter.adopt({ lo: 0, hi: 1 }, Infinity, NO_BASES, { nowMs: 0, atMs: START });
          const { pool, credential } = rows(CALLERS[0] ?? { principal: '', token: '' }, {
            own: set,
            total: undefined,
            token: undefined,
          });
          let now = 0;
          for (let turn = 0; turn < 10; turn += 1) {
            const verdict = limiter.admit(pool, credential, tokens, { nowMs: now, atMs: START + now });
            if (verdict.ok) {
              limiter.settle(verdict.ticket, tokens, now);
              continue;
            }
            const { limit, waitMs } = verdict.over;
            if (waitMs === Infinity) {
              expect(tokens).toBeGreaterThan(Math.min(set.tokensPerMinute ?? Infinity, set.tokensPerDay ?? Infinity));
              return;
            }
            now += waitMs;
            const again = limiter.admit(pool, credential, tokens, { nowMs: now, atMs: START + now });
            // Another of its limits may refuse it then, but not this one.
            if (!again.ok) expect(again.over.limit).not.toBe(limit);
            else limiter.settle(again.ticket, tokens, now);
          }
        },
      ),
    );
  });

  test('a dry run counts what it would refuse, refuses nothing, and what it would refuse takes nothing', () => {
    const limiter = new Limiter();
    limiter.adopt({ lo: 0, hi: 1 }, Infinity, NO_BASES, { nowMs: 0, atMs: START });
    const [, pool] = poolRow('pool', { access: { tokens: false, limits: { requestsPerMinute: 2, dryRun: true } } });
    const [, credential] = credentialRow('key', { principal: 'user:ann' });
    const over = Array.from({ length: 4 }, () => {
      const verdict = limiter.admit(pool, credential, 1, { nowMs: 0, atMs: START });
      return verdict.ok ? verdict.ticket.over : undefined;
    });
    expect(over).toEqual([[], [], ['caller requestsPerMinute'], ['caller requestsPerMinute']]);
  });

  test('without a share whoever has limits is refused, and whoever has none is not', () => {
    const limiter = new Limiter();
    const [, open] = poolRow('open');
    const [, limited] = poolRow('limited', { access: { tokens: false, limits: { concurrent: 5 } } });
    const [, credential] = credentialRow('key');
    expect(limiter.admit(open, credential, 1, { nowMs: 0, atMs: START }).ok).toBe(true);
    expect(() => limiter.admit(limited, credential, 1, { nowMs: 0, atMs: START })).toThrow('no share');
  });
});

describe('several gateways', () => {
  const step = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        type: fc.constant('request' as const),
        gateway: fc.nat(2),
        tokens: fc.integer({ min: 1, max: 40 }),
      }),
    },
    { weight: 5, arbitrary: fc.record({ type: fc.constant('end' as const), which: fc.nat(20), used: fc.nat(60) }) },
    {
      weight: 6,
      arbitrary: fc.record({ type: fc.constant('acknowledge' as const), gateway: fc.nat(2), lost: fc.boolean() }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ type: fc.constant('time' as const), ms: fc.constantFrom(10, 500, 2_000, 20_000, 59_999) }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('restart' as const), gateway: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('control' as const) }) },
  );

  /** A gateway and what its keeper does, without the waiting: it adopts a share once what it has under way fits. */
  class Gateway {
    readonly id: string;
    limiter = new Limiter();
    boot = 0;
    sequence = 0;
    leaseEndsMs = -1;
    wanted: { lo: number; hi: number; idleMs: number; sinceMs: number } | undefined;

    constructor(id: string) {
      this.id = id;
    }

    settle(clock: VirtualClock, used: ReadonlyMap<string, number>): void {
      const target = this.wanted;
      if (target === undefined || !this.limiter.fits(target)) return;
      const nowMs = clock.monotonicMs();
      const day = Math.floor(clock.nowMs() / DAY);
      const bases = { day, used, included: this.limiter.settledOf(day) };
      this.limiter.adopt({ lo: target.lo, hi: target.hi }, target.idleMs + nowMs - target.sinceMs, bases, {
        nowMs,
        atMs: clock.nowMs(),
      });
      this.wanted = undefined;
    }
  }

  const LEASE_MS = 60_000;
  const LIMITS = { requestsPerMinute: 7, tokensPerMinute: 200, concurrent: 3, tokensPerDay: 600 } as const;

  test('never hand out more than the limit together, whatever is lost, restarted or late', () => {
    let served = 0;
    let byOthers = 0;
    fc.assert(
      fc.property(
        fc.subarray(['requestsPerMinute', 'tokensPerMinute', 'concurrent', 'tokensPerDay'] as const, { minLength: 1 }),
        fc.array(step, { minLength: 40, maxLength: 150, size: 'max' }),
        (names, steps) => {
          const set = Object.fromEntries(names.map((name) => [name, LIMITS[name]])) as LimitSet;
          const clock = virtualClock();
          let shares = createShares(clock, new Map(), undefined);
          const gateways = ['gw_a', 'gw_b', 'gw_c'].map((id) => new Gateway(id));
          const naive = new NaiveCount();
          const settled = new Map<string, number>();
          /** Ends of leases as control has them in its store. */
          const granted = new Map<string, number>();
          const [, pool] = poolRow('pool', { access: { tokens: false, limits: set } });
          const [, credential] = credentialRow('key', { principal: 'user:ann' });
          const running: { gateway: Gateway; boot: number; ticket: Ticket; tokens: number; day: number }[] = [];
          for (const happens of steps) {
            const nowMs = clock.monotonicMs();
            const atMs = clock.nowMs();
            const day = Math.floor(atMs / DAY);
            // What runs on after its gateway's lease has ended counts there alone (docs/decisions has why): here it has ended.
            for (const each of running.filter(({ gateway }) => gateway.leaseEndsMs <= nowMs)) {
              each.gateway.limiter.settle(each.ticket, 0, nowMs);
              naive.end(set, each.tokens, 0, Math.floor(nowMs), each.day);
              running.splice(running.indexOf(each), 1);
            }
            const at = 'gateway' in happens ? gateways[happens.gateway] : undefined;
            if (happens.type === 'time') clock.advance(happens.ms);
            if (happens.type === 'control')
              shares = createShares(
                clock,
                new Map([...granted].filter(([, ends]) => ends > nowMs).map(([id]) => [id, nowMs + LEASE_MS])),
                granted.size === 0 ? undefined : Math.max(...granted.values()),
              );
            if (happens.type === 'restart' && at !== undefined) {
              // Its requests are gone with it.
              for (const each of running.filter(({ gateway, boot }) => gateway === at && boot === at.boot)) {
                naive.end(set, each.tokens, 0, Math.floor(nowMs), each.day);
                running.splice(running.indexOf(each), 1);
              }
              at.limiter = new Limiter();
              at.boot += 1;
              at.wanted = undefined;
              at.leaseEndsMs = -1;
            }
            if (happens.type === 'acknowledge' && at !== undefined) {
              if (at.leaseEndsMs <= nowMs) {
                at.limiter.drop();
                at.wanted = undefined;
              }
              at.sequence += 1;
              granted.set(at.id, nowMs + LEASE_MS);
              const given = shares.acknowledge(
                at.id,
                String(at.boot),
                { ...at.limiter.share, sequence: at.sequence },
                nowMs + LEASE_MS,
              );
              if (!happens.lost) {
                at.leaseEndsMs = nowMs + LEASE_MS;
                const same = given.lo === at.limiter.share.lo && given.hi === at.limiter.share.hi;
                at.wanted = same ? undefined : { ...given, sinceMs: nowMs };
                if (!same) at.limiter.narrow(given);
                at.settle(clock, settled);
              }
            }
            if (happens.type === 'end' && running.length > 0) {
              const [done] = running.splice(happens.which % running.length, 1);
              if (done === undefined) continue;
              // More than was reserved is known at its own gateway first: what that costs is in the decision file.
              const used = Math.min(happens.used, done.tokens);
              done.gateway.limiter.settle(done.ticket, used, nowMs);
              naive.end(set, done.tokens, used, Math.floor(nowMs), done.day);
              if (done.day === day)
                settled.set('caller pool user:ann', (settled.get('caller pool user:ann') ?? 0) + used);
              done.gateway.settle(clock, settled);
            }
            if (happens.type !== 'request' || at === undefined || at.leaseEndsMs <= nowMs) continue;
            if (at.limiter.share.hi <= at.limiter.share.lo) continue;
            const verdict = at.limiter.admit(pool, credential, happens.tokens, { nowMs, atMs });
            if (!verdict.ok) continue;
            served += 1;
            if (at !== gateways[0]) byOthers += 1;
            expect(
              naive.admits(set, happens.tokens, Math.floor(nowMs), day),
              'more than one limiter that knows all would admit',
            ).toBe(true);
            naive.take(set, happens.tokens, day);
            running.push({ gateway: at, boot: at.boot, ticket: verdict.ticket, tokens: happens.tokens, day });
          }
        },
      ),
      { numRuns: 2_000 },
    );
    expect(served).toBeGreaterThan(1_000);
    expect(byOthers).toBeGreaterThan(300);
  });
});

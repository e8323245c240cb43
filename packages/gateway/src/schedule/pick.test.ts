import type { EngineLoad } from '@subcloud/contract/link';
import type { MemberRow, NodeRow } from '@subcloud/contract/table';
import fc from 'fast-check';
import { seeded } from '@subcloud/testkit/seeded';
import { expect, test } from 'vitest';
import type { NodeLink } from '../link/node-link.ts';
import { type PickView, whyNotEligible } from './filter.ts';
import { type Judgement, NodeStats, TriedNode } from './node-stats.ts';
import { pick } from './pick.ts';

interface Case {
  readonly linked: boolean;
  readonly draining: boolean;
  /** Out of service by its operator's word. */
  readonly drained: boolean;
  readonly silent: boolean;
  readonly moved: boolean;
  readonly expired: boolean;
  readonly inFlight: number;
  readonly concurrency: number | null;
}

const NOW = 1_000_000;
const WELL: Case = {
  linked: true,
  draining: false,
  drained: false,
  silent: false,
  moved: false,
  expired: false,
  inFlight: 0,
  concurrency: null,
};

function fleet(cases: readonly Case[], tried: readonly string[] = []): { members: MemberRow[]; view: PickView } {
  const nodes = new Map<string, NodeRow>();
  const links = new Map<string, NodeLink>();
  const members = cases.map((one, index): MemberRow => {
    const id = `nod_${index}`;
    nodes.set(id, {
      id,
      publicKey: '',
      operator: 'user:op',
      measuredAddress: '127.0.0.1',
      concurrency: one.concurrency,
      ...(one.drained ? { draining: true as const } : {}),
    });
    if (one.linked) {
      links.set(id, {
        node: id,
        address: one.moved ? '127.0.0.2' : '127.0.0.1',
        inFlight: one.inFlight,
        draining: one.draining,
        closed: false,
        stats: new NodeStats(),
        lastHeardMs: one.silent ? NOW - 15_000 : NOW - 14_999,
      } as NodeLink);
    }
    return { pool: 'p', node: id, models: ['m'], validUntil: one.expired ? NOW : NOW + 1 };
  });
  return { members, view: { nodes, links, controlNowMs: NOW, monotonicMs: NOW, tried, model: 'm', stream: true } };
}

const anyCase = fc.record({
  linked: fc.boolean(),
  draining: fc.boolean(),
  drained: fc.boolean(),
  silent: fc.boolean(),
  moved: fc.boolean(),
  expired: fc.boolean(),
  inFlight: fc.nat(5),
  concurrency: fc.option(fc.integer({ min: 1, max: 5 })),
});
const random = fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }));
const drawn = (values: Iterator<number>) => () => (values.next() as { value: number }).value;

test('a pick is eligible, and there is one exactly when a member is', () => {
  fc.assert(
    fc.property(
      fc.array(anyCase, { maxLength: 60 }),
      fc.array(fc.nat(60), { maxLength: 3 }),
      random,
      (cases, tried, values) => {
        const { members, view } = fleet(
          cases,
          tried.map((index) => `nod_${index}`),
        );
        // Told apart from the code under test: by what each case says.
        const able = cases.flatMap((one, index) =>
          one.linked &&
          !one.draining &&
          !one.drained &&
          !one.silent &&
          !one.moved &&
          !one.expired &&
          !tried.includes(index) &&
          (one.concurrency === null || one.inFlight < one.concurrency)
            ? [`nod_${index}`]
            : [],
        );
        const picked = pick(members, view, drawn(values));
        if (able.length === 0) expect(picked).toBeUndefined();
        else expect(able).toContain(picked?.chosen.member.node);
        if (picked?.other !== undefined) {
          expect(able).toContain(picked.other.member.node);
          expect(picked.other.member.node).not.toBe(picked.chosen.member.node);
        }
      },
    ),
    { numRuns: 1_000 },
  );
});

test('of two nodes the less loaded is picked, by the share of its concurrency where both say it', () => {
  const two = fleet([
    { ...WELL, inFlight: 3 },
    { ...WELL, inFlight: 2 },
  ]);
  const shares = fleet([
    { ...WELL, inFlight: 3, concurrency: 10 },
    { ...WELL, inFlight: 2, concurrency: 4 },
  ]);
  for (let round = 0; round < 50; round += 1) {
    expect(pick(two.members, two.view, Math.random)?.chosen.member.node).toBe('nod_1');
    expect(pick(shares.members, shares.view, Math.random)?.chosen.member.node).toBe('nod_0');
  }
});

test.each([3, 40])('equal nodes share evenly, %i of them', (count) => {
  const { members, view } = fleet(Array.from({ length: count }, () => WELL));
  const counts = new Map<string, number>();
  for (let round = 0; round < 20_000; round += 1) {
    const node = pick(members, view, Math.random)?.chosen.member.node ?? '';
    counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  for (const seen of counts.values()) expect(Math.abs(seen * count - 20_000) / 20_000).toBeLessThan(0.25);
  expect(counts.size).toBe(count);
});

test('work does not grow with the pool', () => {
  const { members, view } = fleet(Array.from({ length: 20_000 }, () => WELL));
  let looked = 0;
  const counting = { ...view, nodes: { get: (id: string) => (looked++, view.nodes.get(id)) } };
  for (let round = 0; round < 100; round += 1) pick(members, counting, Math.random);
  expect(looked / 100).toBeLessThan(10);
});

test('the first reason that holds is the one that is counted', () => {
  const reason = (changes: Partial<Case>, tried: readonly string[] = []) => {
    const { members, view } = fleet([{ ...WELL, ...changes }], tried);
    const [member] = members;
    return member === undefined ? undefined : whyNotEligible(member, view);
  };
  expect([
    reason({}),
    reason({ expired: true, linked: false }),
    reason({ linked: false }),
    reason({ silent: true }),
    reason({ draining: true }),
    reason({ drained: true, moved: true }),
    reason({ moved: true }),
    reason({ inFlight: 1, concurrency: 1 }),
    reason({}, ['nod_0']),
  ]).toEqual([undefined, 'expired', 'offline', 'offline', 'offline', 'draining', 'address changed', 'busy', 'tried']);
});

/** A try that ended so, at `NOW - agoMs`, after `tookMs`. */
function tried(link: NodeLink | undefined, judgement: Judgement, tookMs = 10, agoMs = 0): void {
  if (link === undefined) return;
  const one = new TriedNode(link.stats, 'm', true, NOW - agoMs - tookMs);
  if (judgement === 'served') one.firstByte(NOW - agoMs);
  one.ended(judgement, NOW - agoMs);
}

function shares(cases: readonly Case[], prepare: (links: readonly (NodeLink | undefined)[]) => void, seed = 1) {
  const { members, view } = fleet(cases);
  prepare(members.map(({ node }) => view.links.get(node)));
  const values = seeded(seed);
  const picks = new Map<string, number>();
  for (let count = 0; count < 2_000; count += 1) {
    const node = pick(members, view, values)?.chosen.member.node ?? 'none';
    picks.set(node, (picks.get(node) ?? 0) + 1);
  }
  return (index: number): number => (picks.get(`nod_${index}`) ?? 0) / 2_000;
}

test.each(['node failed', 'engine failed'] as const)(
  'five times %s: it is passed over, the others share',
  (judgement) => {
    const share = shares([WELL, WELL, WELL, WELL], ([first, ...others]) => {
      for (let count = 0; count < 5; count += 1) tried(first, judgement);
      for (const other of others) tried(other, 'served');
    });
    expect(share(0)).toBe(0);
    expect(Math.min(share(1), share(2), share(3))).toBeGreaterThan(0.25);
  },
);

test('a node whose engine failed for one model still serves another', () => {
  const { members, view } = fleet([WELL]);
  for (let count = 0; count < 5; count += 1) tried(view.links.get('nod_0'), 'engine failed');
  const stats = view.links.get('nod_0')?.stats;
  expect(['m', 'other'].map((model) => stats?.standing(stats.of(model), NOW))).toEqual(['out', 'in']);
  // The only one there is serves on: a pool is never dark for a judgement.
  expect(pick(members, view, seeded(1))?.by).toBe('spared');
});

test.each(['unjudged', 'busy'] as const)('however often a try is %s, nothing is ejected', (judgement) => {
  const { view } = fleet([WELL]);
  for (let count = 0; count < 50; count += 1) tried(view.links.get('nod_0'), judgement);
  const stats = view.links.get('nod_0')?.stats;
  expect(stats?.standing(stats.of('m'), NOW)).toBe('in');
});

test('where most are ejected, so many of them are used as keeps half of the pool in use', () => {
  const share = shares(
    Array.from({ length: 10 }, () => WELL),
    (links) => {
      for (const link of links.slice(2)) for (let count = 0; count < 5; count += 1) tried(link, 'engine failed');
    },
  );
  expect(share(0) + share(1)).toBeGreaterThan(0.35);
  expect(share(0) + share(1)).toBeLessThan(0.45);
});

test('after its time an ejected node is tried with one request, and not by a retry', () => {
  const { members, view } = fleet([WELL, WELL, WELL]);
  const link = view.links.get('nod_0');
  for (let count = 0; count < 5; count += 1) tried(link, 'engine failed', 10, 5_000);
  expect(pick(members, { ...view, tried: ['nod_1'] }, seeded(1))?.by).not.toBe('trial');
  const trial = pick(members, view, seeded(1));
  expect([trial?.by, trial?.chosen.member.node]).toEqual(['trial', 'nod_0']);
  if (link !== undefined) new TriedNode(link.stats, 'm', true, NOW);
  expect(pick(members, view, seeded(1))?.by).toBe('score');
});

test('the slower of two gets less, and one of which nothing is known is neither fast nor slow', () => {
  const slow = shares([WELL, WELL], ([first, second]) => {
    tried(first, 'served', 500);
    tried(second, 'served', 50);
  });
  expect([slow(0), slow(1)]).toEqual([0, 1]);
  const fresh = shares([WELL, WELL], ([first]) => tried(first, 'served', 50));
  expect(fresh(0)).toBeGreaterThan(0.4);
  expect(fresh(0)).toBeLessThan(0.6);
});

test('a node that hangs is slow before its first answer is', () => {
  const share = shares([WELL, WELL], ([first, second]) => {
    for (const link of [first, second]) tried(link, 'served', 50);
    if (first !== undefined) new TriedNode(first.stats, 'm', true, NOW - 3_000);
  });
  expect(share(0)).toBe(0);
});

const load = (changes: Partial<EngineLoad>): EngineLoad => ({
  models: ['m'],
  running: 0,
  waiting: 0,
  kvCacheUsed: null,
  ...changes,
});

test.each([
  ['requests that came another way', load({ running: 4, waiting: 3 })],
  ['a KV cache that is nearly full', load({ kvCacheUsed: 0.99 })],
])('an engine that reports %s is avoided, until the report is old', (_what, reported) => {
  const after = (agoMs: number) =>
    shares([WELL, WELL], ([first, second]) => {
      for (const link of [first, second]) tried(link, 'served', 50);
      first?.stats.reported([reported], NOW - agoMs);
    })(0);
  expect(after(0)).toBe(0);
  expect(after(15_001)).toBeGreaterThan(0.4);
});

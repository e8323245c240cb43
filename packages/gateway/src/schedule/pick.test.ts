import type { MemberRow, NodeRow } from '@subcloud/contract/table';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NodeLink } from '../link/node-link.ts';
import { type PickView, whyNotEligible } from './filter.ts';
import { pick } from './pick.ts';

interface Case {
  readonly linked: boolean;
  readonly draining: boolean;
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
    });
    if (one.linked) {
      links.set(id, {
        node: id,
        address: one.moved ? '127.0.0.2' : '127.0.0.1',
        inFlight: one.inFlight,
        draining: one.draining,
        closed: false,
        lastHeardMs: one.silent ? NOW - 15_000 : NOW - 14_999,
      } as NodeLink);
    }
    return { pool: 'p', node: id, models: ['m'], validUntil: one.expired ? NOW : NOW + 1 };
  });
  return { members, view: { nodes, links, controlNowMs: NOW, monotonicMs: NOW, tried } };
}

const anyCase = fc.record({
  linked: fc.boolean(),
  draining: fc.boolean(),
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
    reason({ moved: true }),
    reason({ inFlight: 1, concurrency: 1 }),
    reason({}, ['nod_0']),
  ]).toEqual([undefined, 'expired', 'offline', 'offline', 'offline', 'address changed', 'busy', 'tried']);
});

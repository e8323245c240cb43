import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ReservingPool, apportion, spreadReserves } from './reserves.ts';

const member = (node: number, places: number, usable: number) => ({
  node: `n${node}`,
  places,
  usable: Math.min(places, usable),
});
const places = [4, 2, 7, 1];
const pool = fc.record({
  reserve: fc.integer({ min: 1, max: 30 }),
  members: fc.uniqueArray(fc.nat(places.length - 1), { minLength: 1 }),
  usable: fc.integer({ min: 1, max: 8 }),
});
const pools = fc.array(pool, { minLength: 1, maxLength: 4 }).map((drawn): ReservingPool[] =>
  drawn.map(({ reserve, members, usable }, index) => ({
    name: `p${index}`,
    reserve,
    members: members.map((node) => member(node, places[node] ?? 1, usable)),
  })),
);

describe('reserves', () => {
  test('are whole where they fit, never more than is asked or there, and in no order', () => {
    fc.assert(
      fc.property(pools, (given) => {
        const spread = spreadReserves(given);
        for (const [node, parts] of spread) {
          const index = Number(node.slice(1));
          expect(parts.reduce((sum, part) => sum + part.places, 0)).toBeLessThanOrEqual(places[index] ?? 0);
        }
        const total = (name: string): number =>
          [...spread.values()].flat().reduce((sum, part) => sum + (part.pool === name ? part.places : 0), 0);
        for (const { name, reserve, members } of given) {
          const usable = members.reduce((sum, one) => sum + one.usable, 0);
          expect(total(name)).toBeLessThanOrEqual(Math.min(reserve, usable));
          if (given.length === 1) expect(total(name)).toBe(Math.min(reserve, usable));
        }
        const turned = given.map((one) => ({ ...one, members: [...one.members].reverse() })).reverse();
        const sorted = (map: ReturnType<typeof spreadReserves>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
        expect(sorted(spreadReserves(turned))).toEqual(sorted(spread));
      }),
    );
  });

  test('two that ask for all of a node get half each', () => {
    const both = ['a', 'b'].map((name) => ({ name, reserve: 8, members: [member(0, 8, 8)] }));
    expect(spreadReserves(both).get('n0')).toEqual([
      { pool: 'a', places: 4 },
      { pool: 'b', places: 4 },
    ]);
  });

  test('parts are whole numbers that add up, in proportion', () => {
    expect(apportion(10, [3, 3, 3])).toEqual([3, 3, 3]);
    expect(apportion(4, [3, 3, 3])).toEqual([2, 1, 1]);
    expect(apportion(5, [10, 0, 30])).toEqual([1, 0, 4]);
  });
});

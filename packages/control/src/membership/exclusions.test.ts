import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createExclusions } from './exclusions.ts';

it('counts the nodes that were considered, and the others by reason', () => {
  const exclusions = createExclusions();
  exclusions.update('nod_1', new Map([['lab', null]]));
  exclusions.update('nod_2', new Map([['lab', 'nodes.location']]));
  exclusions.update(
    'nod_3',
    new Map([
      ['lab', 'nodes.location'],
      ['global', 'isolation'],
    ]),
  );
  expect(exclusions.of('lab')).toEqual({ candidates: 3, excluded: { 'nodes.location': 2 } });
  expect(exclusions.of('global')).toEqual({ candidates: 1, excluded: { isolation: 1 } });
  expect(exclusions.of('other')).toEqual({ candidates: 0, excluded: {} });
});

it('forgets a node that is gone, and a pool that no longer considers it', () => {
  const exclusions = createExclusions();
  exclusions.update(
    'nod_1',
    new Map([
      ['lab', 'consent'],
      ['global', null],
    ]),
  );
  exclusions.update('nod_1', new Map([['global', null]]));
  expect(exclusions.of('lab')).toEqual({ candidates: 0, excluded: {} });
  exclusions.update('nod_1', new Map());
  expect(exclusions.of('global')).toEqual({ candidates: 0, excluded: {} });
});

it('keeps by difference what counting everybody again would give, whatever the order of changes', () => {
  const reasons = fc.dictionary(
    fc.constantFrom('lab', 'other', 'global', '__proto__'),
    fc.constantFrom(null, 'consent', 'isolation', 'nodes.location', 'constructor'),
  );
  const update = fc.record({ node: fc.constantFrom('nod_1', 'nod_2', 'nod_3'), reasons });
  fc.assert(
    fc.property(fc.array(update, { maxLength: 30 }), (updates) => {
      const exclusions = createExclusions();
      const last = new Map<string, ReadonlyMap<string, string | null>>();
      for (const { node, reasons: drawn } of updates) {
        const given = new Map(Object.entries(drawn));
        exclusions.update(node, given);
        last.set(node, given);
        // What is kept is a copy: the caller may go on with its own.
        const reused = new Map(given);
        exclusions.update(node, reused);
        reused.clear();
      }
      for (const pool of ['lab', 'other', 'global', '__proto__']) {
        const all = [...last.values()].filter((given) => given.has(pool)).map((given) => given.get(pool) ?? null);
        const counts = new Map<string, number>();
        for (const reason of all) if (reason !== null) counts.set(reason, (counts.get(reason) ?? 0) + 1);
        const { candidates, excluded } = exclusions.of(pool);
        expect(candidates).toBe(all.length);
        expect(new Map(Object.entries(excluded))).toEqual(counts);
      }
    }),
    { numRuns: 1_000 },
  );
});

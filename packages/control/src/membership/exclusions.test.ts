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

it('forgets a node that is gone, a pool that no longer considers it, and a pool that is gone', () => {
  const exclusions = createExclusions();
  exclusions.update('nod_1', [
    ['lab', 'consent'],
    ['global', null],
  ]);
  exclusions.update('nod_1', [['lab', undefined]]);
  expect(exclusions.of('lab')).toEqual({ candidates: 0, excluded: {} });
  expect(exclusions.of('global')).toEqual({ candidates: 1, excluded: {} });
  exclusions.forget('nod_1');
  expect(exclusions.of('global')).toEqual({ candidates: 0, excluded: {} });
  exclusions.update('nod_2', [['lab', 'consent']]);
  exclusions.drop('lab');
  exclusions.update('nod_2', [['other', null]]);
  expect(exclusions.of('lab')).toEqual({ candidates: 0, excluded: {} });
  expect(exclusions.of('other')).toEqual({ candidates: 1, excluded: {} });
});

it('keeps by difference what counting everybody again would give, whatever the order of changes', () => {
  const pools = ['lab', 'other', 'global', '__proto__'] as const;
  const reason = fc.constantFrom(undefined, null, 'consent', 'isolation', 'nodes.location', 'constructor');
  const entries = fc.array(fc.tuple(fc.constantFrom(...pools), reason), { maxLength: 4 });
  const node = fc.constantFrom('nod_1', 'nod_2', 'nod_3');
  const step = fc.oneof(
    fc.record({ node, entries }),
    fc.record({ node, gone: fc.constant(true) }),
    fc.record({ drop: fc.constantFrom(...pools) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const exclusions = createExclusions();
      const naive = new Map<string, Map<string, string | null>>();
      for (const each of steps) {
        if ('drop' in each) {
          exclusions.drop(each.drop);
          for (const known of naive.values()) known.delete(each.drop);
        } else if ('gone' in each) {
          exclusions.forget(each.node);
          naive.delete(each.node);
        } else {
          exclusions.update(each.node, each.entries);
          const known = naive.get(each.node) ?? new Map<string, string | null>();
          naive.set(each.node, known);
          for (const [pool, why] of each.entries) {
            if (why === undefined) known.delete(pool);
            else known.set(pool, why);
          }
        }
      }
      for (const pool of pools) {
        const all = [...naive.values()].flatMap((known) => (known.has(pool) ? [known.get(pool) ?? null] : []));
        const counts = new Map<string, number>();
        for (const why of all) if (why !== null) counts.set(why, (counts.get(why) ?? 0) + 1);
        expect(exclusions.of(pool)).toEqual({ candidates: all.length, excluded: Object.fromEntries(counts) });
      }
    }),
    { numRuns: 2_000 },
  );
});

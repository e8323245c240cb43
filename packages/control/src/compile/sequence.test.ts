import fc from 'fast-check';
import type { MemberRow } from '@subcloud/contract/table';
import { describe, expect, it } from 'vitest';
import {
  type DesiredMember,
  type DocumentState,
  type PoolModels,
  desiredPools,
  drainingOf,
  drainingTerms,
  intersect,
  losesAny,
  samePools,
  sequenceNode,
  termsOf,
} from './sequence.ts';

const want = (models: readonly string[], more: Partial<DesiredMember> = {}): DesiredMember => ({
  models,
  validUntil: null,
  revision: 1,
  owner: 'org:acme',
  isolation: 'shared',
  ...more,
});
const desiredOf = (pools: Readonly<Record<string, DesiredMember>>): ReadonlyMap<string, DesiredMember> =>
  new Map(Object.entries(pools));
const row = (pool: string, models: readonly string[]): MemberRow => ({ pool, node: 'nod_1', models, validUntil: null });

function documentFor(desired: ReadonlyMap<string, DesiredMember>, more: Partial<DocumentState> = {}): DocumentState {
  const content = desiredPools(desired);
  const terms = new Map([...desired].map(([pool, member]) => [pool, termsOf(member)]));
  return { content, terms, agreed: content, acknowledged: true, ...more };
}

function sequence(
  desired: ReadonlyMap<string, DesiredMember>,
  document: DocumentState | undefined,
  rowsBefore: readonly MemberRow[] = [],
  lossesConcluded = true,
): ReturnType<typeof sequenceNode> {
  return sequenceNode({ node: 'nod_1', desired, document, lossesConcluded }, rowsBefore);
}

const global = desiredOf({ global: want(['a']) });
const isolated = desiredOf({ lab: want(['a'], { isolation: 'isolate' }) });

describe('on the way in: agent before table', () => {
  it('a new member gets a document first, and no row', () => {
    expect(sequence(global, undefined)).toEqual({ rows: [], documentDiffers: true, mayIssue: true });
  });

  it('and its row only when the agent has acknowledged', () => {
    const sent = documentFor(global, { agreed: new Map(), acknowledged: false });
    expect(sequence(global, sent)).toEqual({ rows: [], documentDiffers: false, mayIssue: true });
    expect(sequence(global, documentFor(global)).rows).toEqual([row('global', ['a'])]);
  });

  it('a model more waits likewise, and the old one is served meanwhile', () => {
    const more = desiredOf({ global: want(['a', 'b']) });
    expect(sequence(more, documentFor(global), [row('global', ['a'])])).toEqual({
      rows: [row('global', ['a'])],
      documentDiffers: true,
      mayIssue: true,
    });
  });

  it('the row says until when', () => {
    const until = desiredOf({ global: want(['a'], { validUntil: 77 }) });
    expect(sequence(until, documentFor(until)).rows).toEqual([{ ...row('global', ['a']), validUntil: 77 }]);
  });
});

describe('on the way out: table before agent', () => {
  it('the row goes at once, and no document is issued before that is published', () => {
    const step = sequence(isolated, documentFor(global), [row('global', ['a'])]);
    expect(step).toEqual({ rows: [], documentDiffers: true, mayIssue: false });
  });

  it('nor before every gateway with a live lease has acknowledged it', () => {
    expect(sequence(isolated, documentFor(global), [], false)).toMatchObject({ mayIssue: false });
    expect(sequence(isolated, documentFor(global), [], true)).toMatchObject({ mayIssue: true });
  });

  it('a model less is a loss like a pool less', () => {
    const fewer = desiredOf({ global: want(['a']) });
    const before = [row('global', ['a', 'b'])];
    expect(sequence(fewer, documentFor(desiredOf({ global: want(['a', 'b']) })), before)).toMatchObject({
      rows: [row('global', ['a'])],
      documentDiffers: true,
      mayIssue: false,
    });
  });

  it('a row that merely ends earlier is no loss', () => {
    expect(
      losesAny([{ ...row('global', ['a']), validUntil: null }], [{ ...row('global', ['a']), validUntil: 5 }]),
    ).toBe(false);
  });
});

describe('the document', () => {
  it('differs when owner or isolation do, since the agent asks its operator about them', () => {
    const shared = desiredOf({ lab: want(['a']) });
    expect(sequence(shared, documentFor(shared)).documentDiffers).toBe(false);
    for (const changed of [want(['a'], { isolation: 'isolate' }), want(['a'], { owner: 'org:birch' })]) {
      expect(sequence(desiredOf({ lab: changed }), documentFor(shared)).documentDiffers).toBe(true);
    }
  });

  it('does not differ for another revision or time of validity, nor for the order of models', () => {
    const one = desiredOf({ lab: want(['a', 'b']) });
    const other = desiredOf({ lab: want(['b', 'a'], { revision: 2, validUntil: 5 }) });
    expect(sequence(other, documentFor(one)).documentDiffers).toBe(false);
  });

  it('does not name a pool in which there is nothing to serve', () => {
    const nothing = desiredOf({ lab: want([]) });
    expect(desiredPools(nothing).size).toBe(0);
    expect(sequence(nothing, documentFor(new Map()))).toEqual({ rows: [], documentDiffers: false, mayIssue: true });
  });
});

describe('whatever was wanted, sent and acknowledged before', () => {
  const models = fc.subarray(['a', 'b', 'c']);
  const pools = fc.uniqueArray(fc.tuple(fc.constantFrom('global', 'lab', 'other'), models), {
    selector: ([pool]) => pool,
    maxLength: 3,
  });
  const desired = pools.map((drawn) => new Map(drawn.map(([pool, list]) => [pool, want(list)])));
  const poolModels = pools.map((drawn): PoolModels => new Map(drawn.filter(([, list]) => list.length > 0)));
  const document = fc.record({ content: poolModels, agreed: poolModels, acknowledged: fc.boolean() });
  const offers = (rows: readonly MemberRow[]): readonly string[] =>
    rows.flatMap(({ pool, models: list }) => list.map((model) => `${pool} ${model}`));
  const pairs = (all: PoolModels): readonly string[] =>
    [...all].flatMap(([pool, list]) => list.map((model) => `${pool} ${model}`));

  it('the table says exactly what is both wanted and agreed', () => {
    fc.assert(
      fc.property(desired, document, (wanted, { content, agreed, acknowledged }) => {
        const { rows } = sequence(wanted, { content, agreed, acknowledged, terms: new Map() });
        const both = pairs(desiredPools(wanted)).filter((pair) => pairs(agreed).includes(pair));
        expect([...offers(rows)].sort()).toEqual([...both].sort());
        expect(rows.every(({ models: list }) => list.length > 0)).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  it('what both of two documents allow is what either allows less what only one does', () => {
    fc.assert(
      fc.property(poolModels, poolModels, (a, b) => {
        const both = intersect(a, b);
        expect([...pairs(both)].sort()).toEqual(
          pairs(a)
            .filter((pair) => pairs(b).includes(pair))
            .sort(),
        );
        expect([...both.values()].every((list) => list.length > 0)).toBe(true);
        expect(samePools(both, intersect(b, a))).toBe(true);
        expect(samePools(a, b)).toBe([...pairs(a)].sort().join() === [...pairs(b)].sort().join());
      }),
      { numRuns: 1_000 },
    );
  });

  it('a loss is a pair that was offered and is not any more', () => {
    fc.assert(
      fc.property(poolModels, poolModels, (a, b) => {
        const rows = (of: PoolModels): readonly MemberRow[] => [...of].map(([pool, list]) => row(pool, list));
        expect(losesAny(rows(a), rows(b))).toBe(pairs(a).some((pair) => !pairs(b).includes(pair)));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('on the way out with answers under way', () => {
  const leaving = desiredOf({ lab: want([], { isolation: 'isolate', draining: true }) });

  it('the row goes first, then the document says that the pool is draining, then that it is gone', () => {
    const before = documentFor(isolated);
    expect(sequence(leaving, before, [row('lab', ['a'])])).toEqual({
      rows: [],
      documentDiffers: true,
      mayIssue: false,
    });
    expect(sequence(leaving, before, [])).toEqual({ rows: [], documentDiffers: true, mayIssue: true });
    const draining = documentFor(leaving);
    expect(drainingOf(draining)).toEqual(['lab']);
    expect(sequence(leaving, draining).documentDiffers).toBe(false);
    expect(sequence(new Map(), draining).documentDiffers).toBe(true);
    // What stands in the store says the same as what was issued.
    expect(new Map(drainingTerms(['lab']))).toEqual(draining.terms);
  });

  it('a pool that cuts has a row without models, whatever the agent has agreed to, and loses nothing by going', () => {
    const cut = desiredOf({ lab: want([], { cut: true }) });
    const cutting = { pool: 'lab', node: 'nod_1', models: [], validUntil: null, cut: true };
    expect(sequence(cut, documentFor(isolated), [row('lab', ['a'])])).toMatchObject({
      rows: [cutting],
      mayIssue: false,
    });
    expect(sequence(cut, undefined).rows).toEqual([cutting]);
    expect(losesAny([cutting as MemberRow], [])).toBe(false);
  });

  it('a membership that becomes private, or whose operator asks by a rule, is a new document', () => {
    const plain = desiredOf({ lab: want(['a']) });
    for (const more of [{ private: true }, { labels: { team: 'x' } }, { allows: ['a'] }] as const) {
      const changed = desiredOf({ lab: want(['a'], more) });
      expect(sequence(changed, documentFor(plain)).documentDiffers).toBe(true);
      expect(sequence(changed, documentFor(changed)).documentDiffers).toBe(false);
      expect(sequence(plain, documentFor(changed)).documentDiffers).toBe(true);
    }
  });
});

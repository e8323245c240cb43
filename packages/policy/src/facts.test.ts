import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Claim, type NodeFacts, type Resolved, nextChangeMs, resolveFact } from './facts.ts';

const NOW = 1_800_000_000_000;
const MAX_AGE_MS = 600_000;

const gold = { tier: 'gold' };
const silver = { tier: 'silver' };

function claim(value: object, more: Partial<Claim> = {}): Claim {
  return {
    id: 'clm_1',
    fact: 'labels',
    value,
    source: 'declared',
    issuer: 'node:nod_1',
    issuedAt: NOW - 1_000,
    confirmedAt: NOW - 1_000,
    expiresAt: null,
    ...more,
  } as Claim;
}

function factsOf(claims: readonly Claim[], lastSeenAt: number | null = null): NodeFacts {
  return { nodeId: 'nod_1', operator: 'org:acme', claims, lastSeenAt };
}

function labels(
  claims: readonly Claim[],
  atLeast: Claim['source'] = 'declared',
  lastSeenAt: number | null = null,
): Resolved<'labels'> {
  return resolveFact(factsOf(claims, lastSeenAt), 'labels', { atLeast, maxAgeMs: MAX_AGE_MS, now: NOW });
}

describe('resolveFact', () => {
  it('gives the claim that counts, its age, and no warning where nobody disagrees', () => {
    const only = claim(gold);
    expect(labels([only])).toEqual({ known: true, claim: only, ageMs: 1_000, warnings: [] });
  });

  it('lets the strongest claim count in any order, and warns of each weaker one that disagrees', () => {
    const declared = claim(silver);
    const measured = claim(silver, { source: 'measured', issuer: 'network' });
    const attested = claim(gold, { source: 'attested', issuer: 'org:acme' });
    for (const claims of [
      [declared, measured, attested],
      [attested, measured, declared],
      [measured, attested, declared],
    ]) {
      const resolved = labels(claims);
      expect(resolved).toMatchObject({ known: true, claim: { source: 'attested', value: gold } });
      expect(resolved.known ? [...resolved.warnings].sort() : []).toEqual([
        'declared labels by node:nod_1 disagrees with the attested one',
        'measured labels by network disagrees with the attested one',
      ]);
    }
  });

  it('does not call a value different for the order of its keys', () => {
    const written = claim({ a: '1', b: '2' });
    const otherwise = claim({ b: '2', a: '1' }, { issuer: 'other' });
    expect(labels([written, otherwise])).toMatchObject({ known: true });
  });

  it('does not know a fact on which the strongest disagree, whatever weaker ones say', () => {
    const disagreeing = [claim(gold, { source: 'measured' }), claim(silver, { source: 'measured' })];
    expect(labels([...disagreeing, claim(gold)])).toEqual({ known: false, why: 'claims disagree' });
    expect(labels([claim(gold), ...disagreeing])).toEqual({ known: false, why: 'claims disagree' });
    // Two that disagree are outranked by a third, in any place.
    const attested = claim(gold, { source: 'attested' });
    expect(labels([...disagreeing, attested])).toMatchObject({ known: true });
    expect(labels([attested, ...disagreeing])).toMatchObject({ known: true });
  });

  it.each<readonly [string, readonly Claim[]]>([
    ['no claim', []],
    ['no claim', [claim(gold, { fact: 'models' })]],
    ['expired', [claim(gold, { expiresAt: NOW })]],
    ['stale', [claim(gold, { source: 'measured', confirmedAt: NOW - MAX_AGE_MS - 1 })]],
    ['too weak a source', [claim(gold)]],
    ['malformed', [claim({ tier: 1 }, { source: 'measured' })]],
    ['malformed', [claim(['gold'], { source: 'measured' })]],
  ])('says why it does not know: %s', (why, claims) => {
    expect(labels(claims, 'measured')).toEqual({ known: false, why });
  });

  it('takes a claim until the millisecond before it expires, and a measurement of exactly the greatest age', () => {
    expect(labels([claim(gold, { expiresAt: NOW + 1 })])).toMatchObject({ known: true });
    const oldest = claim(gold, { source: 'measured', confirmedAt: NOW - MAX_AGE_MS });
    expect(labels([oldest])).toMatchObject({ known: true, ageMs: MAX_AGE_MS });
  });

  it('ages a measurement by its confirmation, and not after the node was last seen', () => {
    const measured = claim(gold, { source: 'measured', issuedAt: 0, confirmedAt: NOW - MAX_AGE_MS - 5_000 });
    expect(labels([measured])).toEqual({ known: false, why: 'stale' });
    expect(labels([measured], 'declared', NOW - 60_000)).toMatchObject({ known: true, ageMs: MAX_AGE_MS - 55_000 });
    // A time ahead of the clock makes nothing younger than it is.
    expect(labels([measured], 'declared', NOW + 60_000)).toEqual({ known: false, why: 'stale' });
  });

  it('never gives the declared claim where a measured one is asked for', () => {
    expect(labels([claim(gold)], 'measured')).toEqual({ known: false, why: 'too weak a source' });
    expect(labels([claim(gold, { source: 'measured' })], 'measured')).toMatchObject({ known: true });
    expect(labels([claim(gold, { source: 'attested' })], 'measured')).toMatchObject({ known: true });
  });
});

describe('nextChangeMs', () => {
  const next = (claims: readonly Claim[], lastSeenAt: number | null = null): number | null =>
    nextChangeMs(factsOf(claims, lastSeenAt), { maxAgeMs: MAX_AGE_MS, now: NOW });

  it('is the earliest expiry that is still to come, of whatever claim', () => {
    const soon = claim(gold, { expiresAt: NOW + 7 });
    expect(next([claim(gold, { expiresAt: NOW + 9 }), soon, claim(gold, { expiresAt: NOW - 1 })])).toBe(NOW + 7);
    expect(next([claim(gold, { expiresAt: NOW })])).toBeNull();
    expect(next([claim(gold)])).toBeNull();
  });

  it('is when a measurement that nobody confirms grows too old, while the node has a link', () => {
    const measured = claim(gold, { source: 'measured', confirmedAt: NOW - 1_000 });
    expect(next([measured])).toBe(NOW - 1_000 + MAX_AGE_MS + 1);
    expect(next([measured], NOW - 500)).toBeNull();
    expect(next([claim(gold, { source: 'measured', confirmedAt: NOW - MAX_AGE_MS - 1 })])).toBeNull();
  });

  it('is never later than what changes', () => {
    const claims = fc.array(
      fc
        .record({
          value: fc.constantFrom(gold, silver),
          source: fc.constantFrom('declared' as const, 'measured' as const, 'attested' as const),
          confirmedAt: fc.integer({ min: NOW - 2 * MAX_AGE_MS, max: NOW }),
          expiresAt: fc.option(fc.integer({ min: NOW - 10, max: NOW + 2 * MAX_AGE_MS })),
        })
        .map(({ value, ...more }) => claim(value, more)),
      { maxLength: 4 },
    );
    const seen = fc.option(fc.integer({ min: NOW - MAX_AGE_MS, max: NOW + MAX_AGE_MS }));
    const fraction = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(claims, seen, fraction, (drawn, lastSeenAt, part) => {
        const facts = factsOf(drawn, lastSeenAt);
        const change = nextChangeMs(facts, { maxAgeMs: MAX_AGE_MS, now: NOW });
        const last = change === null ? NOW + 100 * MAX_AGE_MS : change - 1;
        const at = (now: number): unknown => {
          const resolved = resolveFact(facts, 'labels', { atLeast: 'measured', maxAgeMs: MAX_AGE_MS, now });
          return resolved.known ? resolved.claim : resolved.known;
        };
        expect(at(NOW + Math.floor((last - NOW) * part))).toEqual(at(NOW));
      }),
      { numRuns: 3_000 },
    );
  });
});

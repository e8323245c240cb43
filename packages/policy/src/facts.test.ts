import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Claim,
  type ClaimOf,
  type NodeFacts,
  type Requirement,
  acceptedClaims,
  countedClaim,
  earliestExpiryMs,
  indexFacts,
  nextChangeMs,
  resolveClaim,
  warningsOf,
} from './facts.ts';

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

const ANY: Requirement = { source: 'declared', exact: false, by: null, owner: null, maxAgeMs: MAX_AGE_MS };

type Known = {
  readonly known: true;
  readonly claim: ClaimOf<'labels'>;
  readonly ageMs: number;
  readonly warnings: string[];
};
type Resolved = Known | { readonly known: false; readonly why: string };

function labels(
  claims: readonly Claim[],
  source: Claim['source'] = 'declared',
  lastSeenAt: number | null = null,
  now: number = NOW,
): Resolved {
  const facts = indexFacts(factsOf(claims, lastSeenAt));
  const requirement = { ...ANY, source };
  const resolution = resolveClaim(facts, 'labels', requirement, now);
  // The form without words is the same.
  const counted = countedClaim(facts, 'labels', requirement, now);
  expect(typeof counted === 'string' ? undefined : counted).toBe(resolution.claim);
  if (resolution.claim === undefined) return { known: false, why: resolution.why };
  const { claim: counts, ageMs } = resolution;
  return { known: true, claim: counts, ageMs, warnings: warningsOf(facts, 'labels', counts, now) };
}

describe('resolveClaim', () => {
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
    ['expired', [claim(gold, { source: 'measured', expiresAt: NOW })]],
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

describe('who may say it', () => {
  const by = (names: readonly string[] | null, owner: Requirement['owner'], more: Partial<Claim>): boolean => {
    const facts = indexFacts(factsOf([claim(gold, { source: 'attested', issuer: 'audits', ...more })]));
    const requirement: Requirement = { ...ANY, source: 'attested', by: names === null ? null : new Set(names), owner };
    return resolveClaim(facts, 'labels', requirement, NOW).claim !== undefined;
  };

  it("is the network's attesters where nobody is named, and never an owner's own", () => {
    expect(by(null, 'org:acme', {})).toBe(true);
    expect(by(null, 'org:acme', { issuerOwner: null })).toBe(true);
    expect(by(null, 'org:acme', { issuerOwner: 'org:acme' })).toBe(false);
  });

  it("is who is named, if the network's or the asking owner's own", () => {
    expect(by(['audits'], null, {})).toBe(true);
    expect(by(['others'], null, {})).toBe(false);
    expect(by(['audits'], 'org:acme', { issuerOwner: 'org:acme' })).toBe(true);
    expect(by(['audits'], 'org:birch', { issuerOwner: 'org:acme' })).toBe(false);
    expect(by(['audits'], null, { issuerOwner: 'org:acme' })).toBe(false);
  });

  it('asks for exactly the source where a list names it', () => {
    const facts = indexFacts(factsOf([claim(gold), claim(silver, { source: 'attested' })]));
    const exactly = (source: Claim['source']): unknown =>
      resolveClaim(facts, 'labels', { ...ANY, source, exact: true }, NOW).claim?.value;
    expect([exactly('declared'), exactly('measured'), exactly('attested')]).toEqual([gold, undefined, silver]);
  });

  it('counts every accepted claim of a fact that a node may have several of, and no unreadable one', () => {
    const audit = (digest: unknown, more: Partial<Claim> = {}): Claim =>
      claim({ digest }, { fact: 'audit', source: 'attested', issuer: 'audits', ...more } as Partial<Claim>);
    const claims = [audit('a'), audit('b'), audit(7), audit('c', { expiresAt: NOW }), audit('d', { issuer: 'x' })];
    const requirement: Requirement = { ...ANY, source: 'attested', by: new Set(['audits']) };
    const accepted = acceptedClaims(indexFacts(factsOf(claims)), 'audit', requirement, NOW);
    expect(accepted.map(({ value }) => value.digest)).toEqual(['a', 'b']);
  });
});

describe('a claim that is out of shape', () => {
  it.each<readonly [string, object]>([
    ['an expiry that is no time', { expiresAt: 'never' }],
    ['no expiry at all', { expiresAt: undefined }],
    ['an issue that is no time', { issuedAt: null }],
    ['an issuer that is no name', { issuer: 7 }],
    ['an owner that is no name', { issuerOwner: 7 }],
  ])('says nothing, and nothing weaker steps in: %s', (_, more) => {
    const broken = { ...claim(gold, { source: 'measured' }), ...more } as Claim;
    expect(labels([broken, claim(gold)])).toEqual({ known: false, why: 'malformed' });
  });

  it('is as old as can be without a time of confirmation', () => {
    const undated = { ...claim(gold, { source: 'measured' }), confirmedAt: undefined } as unknown as Claim;
    expect(labels([undated], 'measured')).toEqual({ known: false, why: 'stale' });
  });

  it('is left out where it is none, or of a fact or a source that nobody knows', () => {
    const strange = [
      null,
      7,
      [],
      {},
      claim(gold, { fact: '__proto__' as never }),
      claim(gold, { source: 'told' as never }),
    ];
    expect(labels(strange as never)).toMatchObject({ known: false });
    expect(labels([...strange, claim(gold)] as never)).toMatchObject({ known: true });
    expect(nextChangeMs(factsOf(strange as never), { maxAgeMs: MAX_AGE_MS, now: NOW })).toBeNull();
  });

  it('makes everything stale where the limit is no number', () => {
    const facts = indexFacts(factsOf([claim(gold, { source: 'measured' })]));
    expect(resolveClaim(facts, 'labels', { ...ANY, maxAgeMs: Number.NaN }, NOW)).toEqual({ why: 'stale' });
  });
});

it('earliestExpiryMs is the next expiry among the facts that are read', () => {
  const claims = [
    claim(gold, { expiresAt: NOW + 5 }),
    claim({}, { fact: 'stake', expiresAt: NOW + 2 } as Partial<Claim>),
  ];
  const facts = factsOf([...claims, claim(gold, { expiresAt: NOW })]);
  expect(earliestExpiryMs(facts, new Set(['labels']), NOW)).toBe(NOW + 5);
  expect(earliestExpiryMs(facts, new Set(['labels', 'stake']), NOW)).toBe(NOW + 2);
  expect(earliestExpiryMs(facts, new Set(['models']), NOW)).toBeNull();
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

  it('is when an audit grows older than an age that is asked for, and not for audits of any age', () => {
    const audit = claim({ digest: 'a' }, { fact: 'audit', source: 'attested', issuedAt: NOW - 100 } as Partial<Claim>);
    const at = (...auditAgesMs: number[]): number | null =>
      nextChangeMs(factsOf([audit]), { maxAgeMs: MAX_AGE_MS, now: NOW, auditAgesMs });
    expect([at(), at(99), at(100), at(500, 200)]).toEqual([null, null, NOW + 1, NOW + 101]);
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
          const resolved = labels(drawn, 'measured', lastSeenAt, now);
          return resolved.known ? resolved.claim : resolved.known;
        };
        expect(at(NOW + Math.floor((last - NOW) * part))).toEqual(at(NOW));
      }),
      { numRuns: 3_000 },
    );
  });
});

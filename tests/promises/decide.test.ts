/** Promises 3 and 7 for one (node, Subcloud): the decision is what the rules say, it fails closed, and it explains itself. */
import { compilePolicy, decide } from '@subcloud/policy/decide';
import type { Claim, NodeFacts } from '@subcloud/policy/facts';
import { DEFAULT_MAX_AGE_MS } from '@subcloud/policy/manifest';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { facts, fresh, NOW, runs, spec } from './arbitraries.ts';
import { type OracleSpec, eligibility } from './oracle.ts';

const RUNS = runs(4_000);

describe('decide', { timeout: 120_000 }, () => {
  it('says of every node and Subcloud what the rules say, clause by clause', () => {
    let admitted = 0;
    fc.assert(
      fc.property(spec, facts, (policy, node) => {
        const decision = decide(compilePolicy(policy), node, NOW);
        const rules = eligibility(policy, node, NOW);
        expect(decision.eligible).toBe(rules.eligible);
        expect(decision.clauses.map(({ clause, pass, unknown }) => ({ clause, pass, unknown }))).toEqual(
          expect.arrayContaining([...rules.clauses]),
        );
        expect([...new Set(decision.models)].sort()).toEqual(rules.models);
        if (decision.eligible) admitted += 1;
      }),
      RUNS,
    );
    // A generator under which nobody is ever eligible would agree with any evaluator that refuses.
    expect(admitted).toBeGreaterThan(RUNS.numRuns / 20);
  });

  it('names every clause that is present, each once, and gives a way out of every one that fails', () => {
    fc.assert(
      fc.property(spec, facts, (policy, node) => {
        const { clauses, eligible } = decide(compilePolicy(policy), node, NOW);
        const present = Object.keys(policy.nodes).map((name) => `nodes.${name}`);
        expect(clauses.map(({ clause }) => clause).sort()).toEqual([...present, 'models.allow'].sort());
        expect(eligible).toBe(clauses.every(({ pass }) => pass));
        for (const { pass, unknown, fix, wanted, seen } of clauses) {
          expect(wanted.length).toBeGreaterThan(0);
          expect(seen.length).toBeGreaterThan(0);
          if (pass) expect([fix, unknown]).toEqual([null, false]);
          else expect(fix).toMatch(/\w{3}/);
          if (unknown) expect(seen).toContain('unknown');
        }
      }),
      RUNS,
    );
  });

  it('holds until the time that it names, and while measurements are confirmed', () => {
    fc.assert(
      fc.property(spec, facts, fc.integer({ min: 0, max: 2 * 86_400_000 }), (policy, node, laterMs) => {
        const compiled = compilePolicy(policy);
        const { eligible, models, validUntil } = decide(compiled, node, NOW);
        fc.pre(eligible && (validUntil === null || NOW + laterMs < validUntil));
        const later = NOW + laterMs;
        const claims = node.claims
          .filter(({ source, confirmedAt }) => source !== 'measured' || isFresh(node, confirmedAt))
          .map((claim) => ({ ...claim, confirmedAt: later }) as Claim);
        const confirmed: NodeFacts = { ...node, claims, lastSeenAt: null };
        expect(decide(compiled, confirmed, later)).toMatchObject({ eligible, models });
      }),
      runs(1_000),
    );
  });

  it('never throws, and admits nobody, on a claim whose value is some other JSON', () => {
    const strange = fc.record({
      fact: fc.constantFrom('location', 'models', 'labels', 'hardware', '__proto__'),
      source: fc.constantFrom('declared', 'measured', 'attested', 'rumoured'),
      value: fc.oneof(
        fc.jsonValue({ maxDepth: 4 }),
        fc.record({ candidates: fc.jsonValue({ maxDepth: 3 }) }),
        fc.record({ candidates: fc.array(fc.jsonValue({ maxDepth: 2 })) }),
        fc.array(fc.jsonValue({ maxDepth: 1 })),
      ),
      expiresAt: fc.option(fc.integer()),
      issuedAt: fc.integer(),
      confirmedAt: fc.integer(),
      issuer: fc.string(),
    });
    fc.assert(
      fc.property(spec, facts, fc.array(strange, { minLength: 1, maxLength: 6 }), (policy, node, further) => {
        const claims = [...node.claims, ...further] as unknown as readonly Claim[];
        const compiled = compilePolicy(policy);
        const decision = decide(compiled, { ...node, claims }, NOW);
        expect(decision.models.every((model) => typeof model === 'string')).toBe(true);
        // Alone and of the highest standing, such a claim never makes a fact: only its own clause's shape does.
        for (const claim of further) {
          const alone = { ...claim, source: 'attested', expiresAt: null } as unknown as Claim;
          const { eligible } = decide(compiled, { ...node, claims: [alone] }, NOW);
          if (eligible) expect([claim.fact, Array.isArray(claim.value)]).toEqual(['models', true]);
        }
      }),
      RUNS,
    );
  });
});

describe('what is not known for sure admits nobody', () => {
  const eu: OracleSpec = { models: {}, nodes: { location: { in: ['EU'], source: 'measured' } } };
  const inside = { candidates: [{ country: 'DE' }], evidence: 'test' };
  const models = fresh('models', ['lab/small'], 'declared', null);
  const judge = (claims: readonly Claim[], more: Partial<NodeFacts> = {}): ReturnType<typeof decide> =>
    decide(compilePolicy(eu), { nodeId: 'nod_1', operator: 'org:acme', lastSeenAt: null, claims, ...more }, NOW);
  const located = (value: object, more: Partial<Claim> = {}): Claim =>
    ({ ...fresh('location', value, 'measured', null), ...more }) as Claim;
  const clause = (decision: ReturnType<typeof decide>): object =>
    decision.clauses.find(({ clause: name }) => name === 'nodes.location') ?? {};

  it('passes the fresh, strong and only claim that the other cases spoil', () => {
    expect(judge([models, located(inside)])).toMatchObject({ eligible: true, models: ['lab/small'] });
  });

  it.each<readonly [string, readonly Claim[], string]>([
    ['no claim', [], 'no claim'],
    ['expired this millisecond', [located(inside, { expiresAt: NOW })], 'expired'],
    ['too old', [located(inside, { confirmedAt: NOW - DEFAULT_MAX_AGE_MS - 1 })], 'stale'],
    ['only declared', [located(inside, { source: 'declared' })], 'too weak a source'],
    [
      'contradicted by an equal',
      [located(inside), located({ candidates: [{ country: 'FR' }], evidence: 'test' })],
      'claims disagree',
    ],
    ['without candidates', [located({ candidates: [], evidence: 'none' })], 'no evidence'],
    ['of another shape', [located({ country: 'DE' })], 'malformed'],
    [
      'in one of two places',
      [located({ candidates: [{ country: 'DE' }, { country: 'US' }], evidence: 'two' })],
      'DE or US',
    ],
    ['in no place that exists', [located({ candidates: [{ country: 'ZZ' }], evidence: 'test' })], 'ZZ'],
  ])('fails on a location %s, and says so', (_, claims, why) => {
    const decision = judge([models, ...claims]);
    expect(decision).toMatchObject({ eligible: false, models: [] });
    expect(clause(decision)).toMatchObject({
      pass: false,
      unknown: true,
      seen: expect.stringContaining(why) as string,
    });
  });

  it('does not let a weaker claim stand in for a stronger one that nobody can read', () => {
    const spoiled = located({ country: 'DE' }, { source: 'attested' });
    expect(judge([models, located(inside), spoiled]).eligible).toBe(false);
  });

  it('lets a stronger claim stand over weaker ones that disagree, and warns', () => {
    const attested = located(inside, { source: 'attested' });
    const elsewhere = { candidates: [{ country: 'US' }], evidence: 'test' };
    expect(judge([models, located(elsewhere), attested, located(elsewhere, { source: 'declared' })]).eligible).toBe(
      true,
    );
  });

  it('ages measured facts only while the node has a link', () => {
    const old = located(inside, { confirmedAt: NOW - 3 * DEFAULT_MAX_AGE_MS });
    const seenThen = NOW - 2.5 * DEFAULT_MAX_AGE_MS;
    expect(judge([models, old], { lastSeenAt: seenThen }).eligible).toBe(true);
    expect(judge([models, old], { lastSeenAt: NOW }).eligible).toBe(false);
  });
});

function isFresh(node: NodeFacts, confirmedAt: number): boolean {
  return Math.min(node.lastSeenAt ?? NOW, NOW) - confirmedAt <= DEFAULT_MAX_AGE_MS;
}

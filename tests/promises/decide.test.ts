/** Promises 3 and 7 for one (node, Subcloud): the decision is what the rules say, it fails closed, and it explains itself. */
import { CLAUSES, type CompiledPolicy, admits, compilePolicy, decide, firstFailing } from '@subcloud/policy/decide';
import type { Claim, NodeFacts } from '@subcloud/policy/facts';
import type { PrincipalId } from '@subcloud/policy/principal';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { claim } from './arbitraries-claims.ts';
import { facts, NOW, runs, spec } from './arbitraries.ts';
import { follow } from './decide-advice.ts';
import { gpusHold } from './oracle-hardware.ts';
import { type OracleSpec, eligibility, whole } from './oracle.ts';

const RUNS = runs(4_000);
const owner = fc.constantFrom<PrincipalId | null>(null, 'org:acme', 'org:birch');

function compile(policy: OracleSpec, of: PrincipalId | null = null): CompiledPolicy {
  return compilePolicy(whole(policy), { owner: of });
}

describe('decide', () => {
  it('says of every node and Subcloud what the rules say, clause by clause and in their order', () => {
    let admitted = 0;
    fc.assert(
      fc.property(spec, facts, owner, (policy, node, of) => {
        const decision = decide(compile(policy, of), node, NOW);
        const rules = eligibility(policy, node, NOW, of);
        expect(decision.clauses.map(({ clause, pass, unknown }) => ({ clause, pass, unknown }))).toEqual(rules.clauses);
        expect(decision.eligible).toBe(rules.eligible);
        expect([...decision.models].sort()).toEqual(rules.models);
        if (decision.eligible) admitted += 1;
      }),
      RUNS,
    );
    // A generator under which nobody is ever eligible would agree with any evaluator that refuses.
    expect(admitted).toBeGreaterThan(RUNS.numRuns / 20);
  });

  it('admits in its fast form exactly whom it admits in words, for the same models, failing at the same clause', () => {
    const failing = new Set<string>();
    fc.assert(
      fc.property(spec, facts, owner, (policy, node, of) => {
        const compiled = compile(policy, of);
        const decision = decide(compiled, node, NOW);
        const { eligible, models, failing: first } = admits(compiled, { ...node }, NOW);
        expect({ eligible, models, first }).toEqual({
          eligible: decision.clauses.every(({ pass }) => pass),
          models: decision.models,
          first: firstFailing(decision),
        });
        if (first !== null) failing.add(first);
      }),
      RUNS,
    );
    // Every clause that the policies can hold has had its turn to be the first that fails.
    expect([...failing].sort()).toEqual(CLAUSES.filter((name) => name !== 'nodes.where').toSorted());
  });

  it('names every clause that is present, each once, and gives a way out of every one that fails', () => {
    fc.assert(
      fc.property(spec, facts, (policy, node) => {
        const { clauses, eligible } = decide(compile(policy), node, NOW);
        expect(clauses.map(({ clause }) => clause)).toEqual(clausesOf(policy));
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

  it('is won by whoever does what it advises, clause after clause, by the words of the advice alone', () => {
    let followed = 0;
    fc.assert(
      fc.property(spec, facts, (policy, node) => {
        const compiled = compile(policy);
        const gpu = policy.nodes.hardware?.gpu ?? {};
        let now = node;
        const steps: string[] = [];
        for (let step = 0; step < 32; step++) {
          const failing = decide(compiled, now, NOW).clauses.find(({ pass }) => !pass);
          if (failing === undefined) return;
          steps.push(`${failing.clause}: ${failing.fix}`);
          const next = follow(failing, now, (device) => gpusHold({ ...gpu, count: { min: 1 } }, [device]) === 'yes');
          fc.pre(next !== undefined);
          now = next;
          followed += 1;
        }
        expect(steps).toEqual('a way in');
      }),
      RUNS,
    );
    expect(followed).toBeGreaterThan(RUNS.numRuns);
  });

  it('holds until the time that it names, and while measurements are confirmed', () => {
    let held = 0;
    fc.assert(
      fc.property(spec, facts, fc.integer({ min: 0, max: 2 * 86_400_000 }), owner, (policy, node, laterMs, of) => {
        const compiled = compile(policy, of);
        const before = decide(compiled, node, NOW);
        const { validUntil } = before;
        const later = validUntil === null ? NOW + laterMs : Math.min(NOW + laterMs, validUntil - 1);
        const after = decide(compiled, node, later);
        expect(after.clauses.map(({ pass, unknown }) => [pass, unknown])).toEqual(
          before.clauses.map(({ pass, unknown }) => [pass, unknown]),
        );
        expect([after.eligible, after.models]).toEqual([before.eligible, before.models]);
        if (before.eligible) held += 1;
      }),
      RUNS,
    );
    expect(held).toBeGreaterThan(RUNS.numRuns / 20);
  });
});

describe('whatever is said of a node', () => {
  // JSON all the same, and neither to be compared nor to be written as text.
  const noPrimitive = fc.constantFrom<unknown>({ toString: 1, valueOf: 1 }, [{ toString: null }]);
  const odd = fc.oneof(
    { weight: 3, arbitrary: fc.jsonValue() as fc.Arbitrary<unknown> },
    { weight: 1, arbitrary: noPrimitive },
  );
  const strange = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.record({
      fact: fc.oneof(
        claim.map(({ fact }) => fact),
        fc.constantFrom<unknown>('__proto__', 'toString', ''),
        noPrimitive,
      ),
      source: fc.constantFrom('declared', 'measured', 'attested', 'rumoured', '__proto__'),
      value: fc.oneof(
        fc.jsonValue({ maxDepth: 4 }),
        fc.record({ candidates: fc.array(fc.jsonValue({ maxDepth: 2 })) }),
        fc.record({ gpus: fc.array(fc.jsonValue({ maxDepth: 2 })) }),
        fc.array(fc.jsonValue({ maxDepth: 1 })),
      ),
      expiresAt: fc.oneof(fc.constant(null), fc.integer(), odd),
      issuedAt: fc.oneof(fc.integer(), odd),
      confirmedAt: fc.oneof(fc.integer(), odd),
      issuer: fc.oneof(fc.string(), odd),
      issuerOwner: fc.oneof(fc.constant(null), odd),
    }),
  );

  it('decides without throwing, in both forms alike', () => {
    fc.assert(
      fc.property(spec, facts, fc.array(strange, { minLength: 1, maxLength: 6 }), (policy, node, further) => {
        const claims = [...node.claims, ...further] as unknown as readonly Claim[];
        const compiled = compile(policy);
        const decision = decide(compiled, { ...node, claims }, NOW);
        expect(admits(compiled, { ...node, claims }, NOW).eligible).toBe(decision.eligible);
        expect(decision.models.every((model) => typeof model === 'string')).toBe(true);
      }),
      RUNS,
    );
  });

  it('decides on facts that are some other JSON, and admits nobody by them', () => {
    const json = fc.record({ claims: fc.jsonValue(), lastSeenAt: odd, operator: odd });
    fc.assert(
      fc.property(spec, json, (policy, node) => {
        expect(decide(compile(policy), node as unknown as NodeFacts, NOW).eligible).toBe(false);
      }),
      RUNS,
    );
  });

  it('bears a value nested as deep as JSON goes', () => {
    const deep = JSON.parse(`${'['.repeat(50_000)}${']'.repeat(50_000)}`) as unknown;
    const claims = ['location', 'models', 'labels', 'audit', 'hardware'].flatMap((fact) =>
      [deep, { candidates: deep, gpus: deep, more: deep }].map(
        (value) =>
          ({
            id: 'c',
            fact,
            value,
            source: 'attested',
            issuer: 'network',
            issuedAt: 0,
            confirmedAt: 0,
            expiresAt: null,
          }) as unknown as Claim,
      ),
    );
    const policy = compile({ models: {}, nodes: { location: { in: ['EU'] }, labels: { a: 'b' } } });
    const node: NodeFacts = { nodeId: 'n', operator: 'org:acme', lastSeenAt: null, claims };
    expect(decide(policy, node, NOW).eligible).toBe(false);
  });

  it('is let in by nothing that contradicts what was said before, and by nothing that nobody can read', () => {
    let contradicted = 0;
    fc.assert(
      fc.property(spec, facts, claim, fc.nat(), fc.jsonValue(), (policy, node, other, which, json) => {
        const compiled = compile(policy);
        fc.pre(!admits(compiled, node, NOW).eligible);
        const said = node.claims.filter(({ fact }) => fact === other.fact && fact !== 'audit');
        const contradiction = said[which % Math.max(1, said.length)];
        const unreadable = { ...other, value: { is: json } };
        const further = contradiction === undefined ? unreadable : { ...contradiction, value: other.value };
        if (contradiction !== undefined) contradicted += 1;
        // Labels are any record of text, and so is that of one text.
        fc.pre(contradiction !== undefined || other.fact !== 'labels');
        const claims = [...node.claims, further as Claim];
        expect(admits(compiled, { ...node, claims }, NOW).eligible).toBe(false);
      }),
      RUNS,
    );
    expect(contradicted).toBeGreaterThan(RUNS.numRuns / 4);
  });
});

it('a clause that is taken away keeps nobody out who was in', () => {
  let removed = 0;
  fc.assert(
    fc.property(spec, facts, fc.nat(), (policy, node, which) => {
      const before = admits(compile(policy), node, NOW);
      fc.pre(before.eligible);
      const { maxAge: _, ...clauses } = policy.nodes;
      const keys = [
        ...Object.keys(clauses).map((key) => ['nodes', key]),
        ...Object.keys(policy.models).map((key) => ['models', key]),
      ];
      const [part, key] = keys[which % Math.max(1, keys.length)] ?? [];
      fc.pre(part !== undefined && key !== undefined);
      const without = { ...policy, [part]: { ...policy[part as 'nodes' | 'models'], [key]: undefined } };
      const after = admits(compile(without), node, NOW);
      expect(after.eligible).toBe(true);
      expect(after.models).toEqual(expect.arrayContaining([...before.models]));
      removed += 1;
    }),
    RUNS,
  );
  expect(removed).toBeGreaterThan(RUNS.numRuns / 10);
});

function clausesOf({ models, nodes }: OracleSpec): readonly string[] {
  const { trust } = nodes;
  const present: Readonly<Record<string, boolean>> = {
    'nodes.operators': nodes.operators !== undefined,
    'nodes.location': nodes.location !== undefined,
    'nodes.operatorSeat': nodes.operatorSeat !== undefined,
    'nodes.hardware': nodes.hardware !== undefined,
    'nodes.trust.level': trust?.level !== undefined,
    'nodes.trust.reputation': trust?.reputation !== undefined,
    'nodes.trust.stake': trust?.stake !== undefined,
    'nodes.labels': nodes.labels !== undefined,
    'models.dedicated': models.dedicated === true,
    'models.allow': true,
    'models.quantization': models.quantization !== undefined,
    'models.modalities': models.modalities !== undefined,
  };
  return CLAUSES.filter((name) => present[name] === true);
}

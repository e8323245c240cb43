/**
 * The cases of conformance/policy against everything that decides: the explained form, the fast one, the evaluator that
 * the promises are tested against, the tests of a manifest, and the parser that has to take each case's policy.
 */
import { nodeWarnings } from '@subcloud/control/api/views';
import {
  CLAUSES,
  type Decision,
  admits,
  compilePolicy,
  decide,
  firstFailing,
  validUntilMs,
} from '@subcloud/policy/decide';
import { isWellFormed } from '@subcloud/policy/fact-values';
import { CLAIM_SOURCES, type NodeFacts, indexFacts } from '@subcloud/policy/facts';
import { gpuNameOf } from '@subcloud/policy/gpu-names';
import { type SubcloudSpec, subcloudManifest } from '@subcloud/policy/manifest';
import { parseManifest } from '@subcloud/policy/parse-manifest';
import { createPlaceRegistry } from '@subcloud/policy/place-registry';
import { runPolicyTests } from '@subcloud/policy/policy-tests';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { COUNTRIES, PLACE_NAMES, SUBDIVISIONS } from '../promises/oracle-places.ts';
import { eligibility } from '../promises/oracle.ts';
import { NOW, type PolicyCase, policyFiles, readCases, spanMs } from './policy-cases.ts';
import { asTestNode } from './policy-test-node.ts';

const files = policyFiles();
const all = files.flatMap(({ cases }) => cases);

describe.each(files)('conformance/policy/$file', ({ cases }) => {
  it.each(cases)('$name', (one) => {
    const { owner, facts, expected } = one;
    const registry = createPlaceRegistry(one.domains);
    const manifest = manifestOf(one);
    const parsed = parseManifest(stringify(manifest), { registry });
    expect(parsed.ok ? [] : parsed.errors).toEqual([]);
    const { spec } = subcloudManifest.parse(manifest);
    const policy = compilePolicy(spec, { owner, registry });

    const decision = decide(policy, facts, NOW);
    expect(summary(decision)).toEqual(summaryOf(expected, decision));
    const fast = admits(policy, { ...facts }, NOW);
    expect({ ...fast, models: [...fast.models].sort() }).toEqual({
      eligible: expected.eligible,
      models: expected.models ?? [...decision.models].sort(),
      failing: expected.failing ?? null,
    });
    if (expected.changesIn !== undefined) expect(changesIn(decision.validUntil)).toBe(expected.changesIn);
    expect(decision.validUntil).toBe(validUntilMs(policy, facts, NOW));
    if (expected.warnings !== undefined) expect(warnedOf(facts)).toEqual(expected.warnings);
    compareWithRules(one, spec, decision);
  });
});

function manifestOf({ spec }: PolicyCase): object {
  return { apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name: 'conformance' }, spec };
}

interface Summary {
  readonly eligible: boolean;
  readonly failing: string | null;
  readonly clauses: Readonly<Record<string, string>>;
  readonly models: readonly string[];
}

function summary(decision: Decision): Summary {
  const clauses = decision.clauses.map(({ clause, pass, unknown }) => [
    clause,
    pass ? 'pass' : unknown ? 'unknown' : 'fail',
  ]);
  return {
    eligible: decision.eligible,
    failing: firstFailing(decision),
    clauses: Object.fromEntries(clauses) as Record<string, string>,
    models: [...decision.models].sort(),
  };
}

/** Clauses and models of which a case says nothing may be as they are. */
function summaryOf({ eligible, failing, clauses, models }: PolicyCase['expected'], decision: Decision): Summary {
  const seen = summary(decision);
  const said = eligible ? Object.fromEntries(Object.keys(seen.clauses).map((name) => [name, 'pass'])) : seen.clauses;
  return {
    eligible,
    failing: failing ?? null,
    clauses: { ...said, ...clauses },
    models: models ?? (eligible ? seen.models : []),
  };
}

function changesIn(validUntil: number | null): string {
  if (validUntil === null) return 'never';
  const ms = validUntil - NOW;
  const unit = (['d', 'h', 'm', 's'] as const).find((each) => ms % spanMs(`1${each}`) === 0) ?? 'ms';
  return `${ms / spanMs(`1${unit}`)}${unit}`;
}

/** `declared location`: which weaker claims disagree. */
function warnedOf(facts: NodeFacts): readonly string[] {
  const warnings = nodeWarnings(indexFacts(facts), NOW).map((text) => text.split(' ').slice(0, 2).join(' '));
  return [...new Set(warnings)].sort();
}

/** The evaluator written from the rules alone knows neither CEL, nor all places, nor values out of shape. */
function compareWithRules(one: PolicyCase, spec: SubcloudSpec, decision: Decision): void {
  const { facts, owner, domains } = one;
  const isBeyond =
    spec.nodes.where !== undefined || domains.length > 0 || usesOtherPlaces(one) || facts.claims.some(isBeyondRules);
  if (isBeyond) return;
  const rules = eligibility(spec, facts, NOW, owner);
  expect(summary(decision).clauses).toEqual(
    Object.fromEntries(
      rules.clauses.map(({ clause, pass, unknown }) => [clause, pass ? 'pass' : unknown ? 'unknown' : 'fail']),
    ),
  );
  expect([...decision.models].sort()).toEqual(rules.models);
}

function usesOtherPlaces({ spec, facts }: PolicyCase): boolean {
  const { nodes = {} } = spec as {
    nodes?: Partial<Record<'location' | 'operatorSeat', { in?: string[]; notIn?: string[] }>>;
  };
  const named = [nodes.location, nodes.operatorSeat].flatMap((clause) => [
    ...(clause?.in ?? []),
    ...(clause?.notIn ?? []),
  ]);
  const seen = facts.claims.flatMap((claim) => {
    if (claim.fact === 'operatorSeat') return [claim.value];
    return claim.fact === 'location' && isWellFormed('location', claim.value) ? claim.value.candidates : [];
  });
  return (
    named.some((name) => !PLACE_NAMES.includes(name)) ||
    seen.some(
      ({ country, subdivision = '' }) =>
        ![...COUNTRIES, ''].includes(country) || ![...SUBDIVISIONS, ''].includes(subdivision),
    )
  );
}

function isBeyondRules({ fact, value, source }: NodeFacts['claims'][number]): boolean {
  if (!isWellFormed(fact, value) || !CLAIM_SOURCES.includes(source)) return true;
  // Nor does it know what drivers call their devices.
  return (
    fact === 'hardware' &&
    value.gpus.some(({ model, driverName }) => (model === null ? driverName !== '' : gpuNameOf(model) !== model))
  );
}

describe('the tests of a manifest', () => {
  it('say the same of every case that can be written as one', () => {
    let written = 0;
    for (const one of all) {
      const node = asTestNode(one.facts);
      if (node === undefined || one.owner !== null) continue;
      written += 1;
      const { eligible, failing, models } = one.expected;
      const expected = { eligible, ...(failing && { failing: [failing] }), ...(models && { models }) };
      const tests = [{ name: one.name, node, expect: expected }];
      const { spec } = subcloudManifest.parse(manifestOf({ ...one, spec: { ...one.spec, tests } }));
      const results = runPolicyTests(spec, { owner: null, registry: createPlaceRegistry(one.domains) });
      expect(results.map(({ name, message }) => [name, message])).toEqual([[one.name, 'holds']]);
    }
    expect(written).toBeGreaterThan(100);
  });
});

describe('the cases', () => {
  it('are 250 at least, each with a name of its own', () => {
    expect(all.length).toBeGreaterThanOrEqual(250);
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  });

  it('show every clause passing, failing and unknown, where it can be', () => {
    const shown = new Set(
      all.flatMap(({ expected }) =>
        Object.entries(expected.clauses ?? {}).map(([clause, verdict]) => `${clause} ${verdict}`),
      ),
    );
    const wanted = CLAUSES.flatMap((clause) => [
      `${clause} fail`,
      ...(clause === 'nodes.operators' ? [] : [`${clause} unknown`]),
    ]);
    expect(wanted.filter((each) => !shown.has(each))).toEqual([]);
  });

  it('are refused with a key that this build does not know, in a case, a claim or what is expected', () => {
    const text = (claim: string, expected: string): string =>
      `cases: [{ name: a, spec: {}, node: { claims: [{ fact: stake, value: x, source: measured${claim} }] }, expect: { eligible: true${expected} } }]`;
    expect(readCases(text('', ''))).toHaveLength(1);
    expect(() => readCases(text(', issuedAt: 5', ''))).toThrow(/issuedAt/);
    expect(() => readCases(text('', ', fix: x'))).toThrow(/fix/);
    expect(() => readCases(text(', age: 5', ''))).toThrow();
  });
});

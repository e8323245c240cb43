/**
 * Runs the `tests` of a manifest on the real `decide()`: each test's node is written out as claims, and what comes out is
 * compared with what the test expects. A test without `models` judges the clauses under `nodes` alone.
 */
import { type ClauseName, type ClauseResult, type CompileOptions, compilePolicy, decide } from './decide.ts';
import type { FactName, FactValues } from './fact-values.ts';
import type { Claim, ClaimSource, NodeFacts } from './facts.ts';
import type { SubcloudSpec } from './manifest.ts';
import type { TestNode } from './policy-test-schema.ts';
import type { PrincipalId } from './principal.ts';
import { durationMs } from './units.ts';

export interface PolicyTestResult {
  readonly name: string;
  readonly pass: boolean;
  /** For people: what was expected and what came out. */
  readonly message: string;
  readonly expected: {
    readonly eligible: boolean;
    readonly failing: readonly string[];
    /** Null: the test does not ask. */
    readonly models: readonly string[] | null;
  };
  readonly got: {
    readonly eligible: boolean;
    readonly failing: readonly ClauseName[];
    readonly models: readonly string[];
  };
  /** Clauses that were to fail and did not. */
  readonly missing: readonly string[];
  /** What the clauses that failed wanted and saw. */
  readonly clauses: readonly Pick<ClauseResult, 'clause' | 'wanted' | 'seen'>[];
}

export interface PolicyTestOptions extends CompileOptions {
  /** The time of the test, ms since the epoch. No clause reads the calendar, so any will do. */
  readonly now?: number;
}

const ANY_TIME_MS = 1_750_000_000_000;

/** All tests, in their order. Throws on a spec that `parseManifest` would refuse. */
export function runPolicyTests(
  spec: Pick<SubcloudSpec, 'models' | 'nodes' | 'tests'>,
  { now = ANY_TIME_MS, ...options }: PolicyTestOptions,
): readonly PolicyTestResult[] {
  if (spec.tests.length === 0) return [];
  const policy = compilePolicy(spec, options);
  return spec.tests.map(({ name, node, expect }) => {
    const decision = decide(policy, testNodeFacts(node, now), now);
    const judged = decision.clauses.filter(({ clause }) => node.models !== undefined || clause.startsWith('nodes.'));
    const failed = judged.filter(({ pass }) => !pass);
    const got = {
      eligible: failed.length === 0,
      failing: failed.map(({ clause }) => clause),
      models: node.models === undefined ? [] : decision.models,
    };
    const expected = {
      eligible: expect.eligible,
      failing: expect.failing ?? [],
      models: expect.models ?? null,
    };
    const missing = expected.failing.filter((clause) => !got.failing.some((failing) => failing === clause));
    const faults = [
      expected.eligible === got.eligible ? '' : `expected ${inWords(expected.eligible)}, got ${inWords(got.eligible)}`,
      missing.length === 0 ? '' : `expected to fail and did not: ${missing.join(', ')}`,
      expected.models === null || sameSet(expected.models, got.models)
        ? ''
        : `expected the models ${listed(expected.models)}, got ${listed(got.models)}`,
    ].filter((fault) => fault !== '');
    const clauses = failed.map(({ clause, wanted, seen }) => ({ clause, wanted, seen }));
    const why = clauses.map(({ clause, wanted, seen }) => `${clause} wanted ${wanted}, saw ${seen}`);
    const message = faults.length === 0 ? 'holds' : [faults.join('; '), ...why].join('; ');
    return { name, pass: faults.length === 0, message, expected, got, missing, clauses };
  });
}

/** Where a fact of a test comes from when the test does not say: the default source of the clause that reads it. */
const DEFAULT_SOURCES: Readonly<Record<FactName, ClaimSource>> = {
  location: 'measured',
  operatorSeat: 'attested',
  models: 'declared',
  hardware: 'measured',
  trustLevel: 'measured',
  reputation: 'measured',
  stake: 'measured',
  uptime30d: 'measured',
  audit: 'attested',
  labels: 'declared',
};
const ISSUERS: Readonly<Record<ClaimSource, string>> = {
  declared: 'node:test',
  measured: 'network',
  attested: 'network',
};

interface Origin {
  readonly source?: ClaimSource | undefined;
  readonly by?: string | undefined;
  readonly age?: string | undefined;
}

/** What a test says of its node, as claims at `now`. An attester that a test names counts as one of the network's. */
export function testNodeFacts(node: TestNode, now: number): NodeFacts {
  const claims: Claim[] = [];
  const add = <Fact extends FactName>(fact: Fact, value: FactValues[Fact], { source, by, age }: Origin = {}): void => {
    const from = source ?? (by === undefined ? DEFAULT_SOURCES[fact] : 'attested');
    const at = age === undefined ? now : now - durationMs(age);
    const id = `test_${claims.length}`;
    const issuer = by ?? ISSUERS[from];
    claims.push({
      id,
      fact,
      value,
      source: from,
      issuer,
      issuerOwner: null,
      issuedAt: at,
      confirmedAt: at,
      expiresAt: null,
    } as Claim);
  };
  if (node.location !== undefined)
    add('location', { candidates: [placeOf(node.location)], evidence: 'test' }, node.location);
  if (node.operatorSeat !== undefined) add('operatorSeat', placeOf(node.operatorSeat), node.operatorSeat);
  if (node.hardware !== undefined) add('hardware', { gpus: gpusOf(node.hardware.gpus) }, node.hardware);
  if (node.trust !== undefined) {
    const { level, reputation, stake } = node.trust;
    if (level !== undefined) add('trustLevel', level, node.trust);
    if (reputation !== undefined) add('reputation', reputation, node.trust);
    if (stake !== undefined) add('stake', stake, node.trust);
  }
  if (node.uptime !== undefined) add('uptime30d', node.uptime.d30, node.uptime);
  if (node.labels !== undefined) add('labels', node.labels);
  if (node.models !== undefined) {
    add(
      'models',
      node.models.map(({ id, digest = null, quantization = null, modalities = null, contextLength = null }) => ({
        id,
        digest,
        quantization,
        modalities,
        contextLength,
      })),
    );
    for (const { digest, audited = [] } of node.models)
      for (const audit of audited) if (digest !== undefined) add('audit', { digest }, audit);
  }
  // No operator at all is nobody's id, so that no list of operators holds it.
  return { nodeId: 'test', operator: (node.operator ?? '') as PrincipalId, claims, lastSeenAt: null };
}

function placeOf({ country, subdivision }: NonNullable<TestNode['location']>): FactValues['operatorSeat'] {
  return subdivision === undefined ? { country } : { country, subdivision };
}

function gpusOf(gpus: NonNullable<TestNode['hardware']>['gpus']): FactValues['hardware']['gpus'] {
  return gpus.flatMap(({ model = null, vramGiB = null, confidential = null, count }) =>
    Array.from({ length: count }, () => ({ model, driverName: model ?? 'unknown', vramGiB, confidential })),
  );
}

function inWords(eligible: boolean): string {
  return eligible ? 'eligible' : 'not eligible';
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'none' : [...names].sort().join(', ');
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return listed([...new Set(a)]) === listed([...new Set(b)]);
}

/**
 * decide(policy, facts, now): is this node eligible, clause by clause and why. The same function admits, explains and
 * previews. Pure and total: it never throws, and whatever it does not know or recognise it denies.
 */
import { canonicalJson } from './canonical-json.ts';
import { type ClaimSource, type NodeFacts, type Resolved, resolveFact } from './facts.ts';
import { DEFAULT_MAX_AGE_MS, type SubcloudSpec } from './manifest.ts';
import { type CompiledPlaces, compilePlaces } from './places.ts';

export const CLAUSES = ['nodes.operators', 'nodes.location', 'nodes.labels', 'models.allow'] as const;
export type ClauseName = (typeof CLAUSES)[number];

export interface ClauseResult {
  readonly clause: ClauseName;
  readonly pass: boolean;
  /** True when the clause fails because its fact is not known. */
  readonly unknown: boolean;
  readonly wanted: string;
  readonly seen: string;
  readonly source: ClaimSource | 'enrolment' | null;
  readonly issuer: string | null;
  readonly ageMs: number | null;
  /** The least change that would make a failing clause pass; null where it passes. */
  readonly fix: string | null;
}

export interface Decision {
  readonly eligible: boolean;
  readonly clauses: readonly ClauseResult[];
  /** Model ids that the node may serve under this policy; empty unless every `nodes` clause passes. */
  readonly models: readonly string[];
  /** Earliest expiry of the claims this rests on, ms since the epoch; null: none of them expires by time alone. */
  readonly validUntil: number | null;
}

type Evaluate = (facts: NodeFacts, now: number) => { result: ClauseResult; expiresAt: number | null };

export interface CompiledPolicy {
  readonly nodeClauses: readonly Evaluate[];
  /** Null: any model. */
  readonly allowedModels: ReadonlySet<string> | null;
  readonly domains: readonly { readonly name: string; readonly version: string }[];
}

/** Compiles a parsed manifest's spec to closures, once a revision. */
export function compilePolicy(spec: Pick<SubcloudSpec, 'models' | 'nodes'>): CompiledPolicy {
  const nodeClauses: Evaluate[] = [];
  let places: CompiledPlaces | undefined;
  const { operators, location, labels } = spec.nodes;
  if (operators !== undefined) nodeClauses.push(operatorsClause(operators.in));
  if (location !== undefined) {
    places = compilePlaces(location.in, location.notIn);
    nodeClauses.push(locationClause(places, wantedPlaces(location.in, location.notIn), location.source));
  }
  if (labels !== undefined) nodeClauses.push(labelsClause(labels));
  const allow = spec.models.allow;
  return {
    nodeClauses,
    allowedModels: allow === undefined ? null : new Set(allow.map(({ id }) => id)),
    domains: places?.domains ?? [],
  };
}

export function decide(policy: CompiledPolicy, facts: NodeFacts, now: number): Decision {
  const clauses: ClauseResult[] = [];
  let validUntil: number | null = null;
  let nodePasses = true;
  for (const evaluate of policy.nodeClauses) {
    const { result, expiresAt } = evaluate(facts, now);
    clauses.push(result);
    if (!result.pass) nodePasses = false;
    validUntil = earlier(validUntil, expiresAt);
  }
  const resolved = resolveFact(facts, 'models', { atLeast: 'declared', maxAgeMs: DEFAULT_MAX_AGE_MS, now });
  const offered = resolved.known ? resolved.claim.value : [];
  const allowed = policy.allowedModels;
  const passing = allowed === null ? offered : offered.filter((id) => allowed.has(id));
  if (resolved.known) validUntil = earlier(validUntil, resolved.claim.expiresAt);
  clauses.push(modelsResult(allowed, resolved, offered, passing));
  const eligible = nodePasses && passing.length > 0;
  return { eligible, clauses, models: eligible ? passing : [], validUntil };
}

/** The clause that is named when a node is counted out; null when it is eligible. */
export function firstFailing(decision: Decision): ClauseName | null {
  return decision.clauses.find(({ pass }) => !pass)?.clause ?? null;
}

function operatorsClause(operators: readonly string[]): Evaluate {
  const wanted = `one of ${operators.join(', ')}`;
  return (facts) => {
    const pass = operators.includes(facts.operator);
    const fix = pass ? null : `enrol the node with a join token of ${operators.join(' or ')}`;
    return {
      result: {
        clause: 'nodes.operators',
        pass,
        unknown: false,
        wanted,
        seen: facts.operator,
        source: 'enrolment',
        issuer: 'network',
        ageMs: null,
        fix,
      },
      expiresAt: null,
    };
  };
}

function locationClause(places: CompiledPlaces, wanted: string, source: 'declared' | 'measured'): Evaluate {
  const wantedText = `${wanted} (${source} or stronger)`;
  return (facts, now) => {
    const resolved = resolveFact(facts, 'location', { atLeast: source, maxAgeMs: DEFAULT_MAX_AGE_MS, now });
    const candidates = resolved.known ? resolved.claim.value.candidates : [];
    const verdicts = candidates.map((candidate) => places.contains(candidate));
    const pass = verdicts.length > 0 && verdicts.every((verdict) => verdict === 'yes');
    const unknown = !pass && !(verdicts.length > 0 && verdicts.every((verdict) => verdict === 'no'));
    const seen = !resolved.known
      ? `unknown (${resolved.why})`
      : candidates.length === 0
        ? 'unknown (no evidence)'
        : `${unknown ? 'unknown: ' : ''}${candidates.map(({ country, subdivision }) => subdivision ?? country).join(' or ')}`;
    const fix = pass
      ? null
      : unknown
        ? `let the node's ${source} location be known and inside ${wanted}`
        : `run the node inside ${wanted}`;
    return {
      result: { clause: 'nodes.location', pass, unknown, wanted: wantedText, seen, ...origin(resolved), fix },
      expiresAt: resolved.known ? resolved.claim.expiresAt : null,
    };
  };
}

function labelsClause(labels: Readonly<Record<string, string>>): Evaluate {
  const wanted = canonicalJson(labels);
  return (facts, now) => {
    const resolved = resolveFact(facts, 'labels', { atLeast: 'declared', maxAgeMs: DEFAULT_MAX_AGE_MS, now });
    const has = resolved.known ? resolved.claim.value : {};
    const missing = Object.entries(labels).filter(([key, value]) => !Object.hasOwn(has, key) || has[key] !== value);
    const pass = resolved.known && missing.length === 0;
    const seen = resolved.known
      ? canonicalJson(
          Object.fromEntries(
            Object.keys(labels)
              .filter((key) => Object.hasOwn(has, key))
              .map((key) => [key, has[key]]),
          ),
        )
      : `unknown (${resolved.why})`;
    const fix = pass
      ? null
      : `set ${missing.map(([key, value]) => `${key}=${value}`).join(', ')} under labels in agent.yaml`;
    return {
      result: { clause: 'nodes.labels', pass, unknown: !resolved.known, wanted, seen, ...origin(resolved), fix },
      expiresAt: resolved.known ? resolved.claim.expiresAt : null,
    };
  };
}

function modelsResult(
  allowed: ReadonlySet<string> | null,
  resolved: Resolved<'models'>,
  offered: readonly string[],
  passing: readonly string[],
): ClauseResult {
  const wanted = allowed === null ? 'any model' : `one of ${list([...allowed])}`;
  const pass = passing.length > 0;
  const seen = resolved.known ? (offered.length === 0 ? 'none' : list(offered)) : `unknown (${resolved.why})`;
  const fix = pass
    ? null
    : allowed === null
      ? 'let an engine of the node serve a model'
      : `serve ${list([...allowed], ' or ')} on the node`;
  return { clause: 'models.allow', pass, unknown: !resolved.known, wanted, seen, ...origin(resolved), fix };
}

const MAX_LISTED = 8;
function list(names: readonly string[], separator = ', '): string {
  const shown = names.slice(0, MAX_LISTED).join(separator);
  return names.length > MAX_LISTED ? `${shown} and ${names.length - MAX_LISTED} more` : shown;
}

function wantedPlaces(inList: readonly string[] | undefined, notInList: readonly string[] | undefined): string {
  const inside = inList === undefined ? 'anywhere' : inList.join(', ');
  return notInList === undefined ? inside : `${inside} except ${notInList.join(', ')}`;
}

function origin(
  resolved: Resolved<'location'> | Resolved<'labels'> | Resolved<'models'>,
): Pick<ClauseResult, 'source' | 'issuer' | 'ageMs'> {
  return resolved.known
    ? { source: resolved.claim.source, issuer: resolved.claim.issuer, ageMs: resolved.ageMs }
    : { source: null, issuer: null, ageMs: null };
}

function earlier(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.min(a, b);
}

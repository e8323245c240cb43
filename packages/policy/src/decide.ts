/**
 * decide(policy, facts, now): is this node eligible, clause by clause and why. The same compiled policy admits (`admits`,
 * the fast form that the reconciler uses), explains, previews and runs the manifest's tests. Pure and total: it never
 * throws, and whatever it does not know or recognise it denies.
 */
import { CLAUSES, type ClauseName, type ClauseResult, type NodeClause } from './clauses/clause.ts';
import type { CompileContext } from './clauses/fact-clause.ts';
import { type ModelPolicy, compileModels } from './clauses/model-clauses.ts';
import {
  hardwareClause,
  labelsClause,
  locationClause,
  operatorSeatClause,
  operatorsClause,
  trustClauses,
} from './clauses/node-clauses.ts';
import { whereClause } from './clauses/where.ts';
import { type FactName, type IndexedFacts, type NodeFacts, indexFacts, nextChangeMs } from './facts.ts';
import type { SubcloudSpec } from './manifest.ts';
import { BUILT_IN_PLACES, type PlaceRegistry } from './place-registry.ts';
import type { PrincipalId } from './principal.ts';
import { durationMs } from './units.ts';

export { CLAUSES, type ClauseName, type ClauseResult } from './clauses/clause.ts';

export interface Decision {
  readonly eligible: boolean;
  readonly clauses: readonly ClauseResult[];
  /** Model ids that the node may serve under this policy; empty unless it is eligible. */
  readonly models: readonly string[];
  /** When time alone may next change the decision, ms since the epoch; null: never. */
  readonly validUntil: number | null;
}

/** The fast form of a decision: the same answer without the words. */
export interface Admission {
  readonly eligible: boolean;
  readonly models: readonly string[];
  /** The clause that is named when the node is counted out; null when it is eligible. */
  readonly failing: ClauseName | null;
}

export interface CompiledPolicy {
  readonly nodeClauses: readonly NodeClause[];
  readonly models: ModelPolicy;
  readonly maxAgeMs: number;
  /** Named domains that the policy rests on, with their versions: part of the effective hash. */
  readonly domains: readonly { readonly name: string; readonly version: string }[];
  /** Facts that it reads; a change of any other fact cannot change a decision. */
  readonly reads: ReadonlySet<FactName>;
}

export interface CompileOptions {
  /** Owner of the Subcloud; null for the global network. */
  readonly owner: PrincipalId | null;
  /** Places and domains; default: the built-in ones. */
  readonly registry?: PlaceRegistry;
}

/** Compiles a parsed manifest's spec to closures, once a revision. Throws on a spec that `parseManifest` would refuse. */
export function compilePolicy(
  spec: Pick<SubcloudSpec, 'models' | 'nodes' | 'apis'>,
  options: CompileOptions = { owner: null },
): CompiledPolicy {
  const { registry = BUILT_IN_PLACES } = options;
  const { nodes } = spec;
  const maxAgeMs = durationMs(nodes.maxAge);
  const context: CompileContext = { owner: options.owner, maxAgeMs };
  const nodeClauses: NodeClause[] = [];
  const domains: { name: string; version: string }[] = [];
  const placed = ({ clause, places }: ReturnType<typeof locationClause>): void => {
    nodeClauses.push(clause);
    domains.push(...places.domains.filter(({ name }) => !domains.some((known) => known.name === name)));
  };
  if (nodes.operators !== undefined) nodeClauses.push(operatorsClause(nodes.operators.in));
  if (nodes.location !== undefined) placed(locationClause(nodes.location, registry, context));
  if (nodes.operatorSeat !== undefined) placed(operatorSeatClause(nodes.operatorSeat, registry, context));
  if (nodes.hardware !== undefined) nodeClauses.push(hardwareClause(nodes.hardware, context));
  if (nodes.trust !== undefined) nodeClauses.push(...trustClauses(nodes.trust, context));
  if (nodes.labels !== undefined) nodeClauses.push(labelsClause(nodes.labels, context));
  if (nodes.where !== undefined) nodeClauses.push(whereClause(nodes.where, context));
  const models = compileModels(spec.models, context, spec.apis);
  const reads = new Set([...nodeClauses.flatMap((clause) => clause.reads), ...models.reads] as FactName[]);
  return { nodeClauses, models, maxAgeMs, domains, reads };
}

/** The whole answer, in words. */
export function decide(policy: CompiledPolicy, facts: NodeFacts, now: number): Decision {
  const indexed = indexFacts(facts);
  const clauses = [
    ...policy.nodeClauses.map((clause) => clause.explain(indexed, now)),
    ...policy.models.explain(indexed, now),
  ];
  const { eligible, models } = admitIndexed(policy, indexed, now);
  return { eligible, clauses, models, validUntil: validUntilMs(policy, facts, now) };
}

/** When time alone may next change a decision of this policy, ms since the epoch; null: never. */
export function validUntilMs({ maxAgeMs, models }: CompiledPolicy, facts: NodeFacts, now: number): number | null {
  return nextChangeMs(facts, { maxAgeMs, auditAgesMs: models.auditAgesMs, now });
}

/** The same answer without the words; allocates next to nothing. */
export function admits(policy: CompiledPolicy, facts: NodeFacts, now: number): Admission {
  return admitIndexed(policy, indexFacts(facts), now);
}

function admitIndexed(policy: CompiledPolicy, facts: IndexedFacts, now: number): Admission {
  for (const clause of policy.nodeClauses) {
    if (clause.admits(facts, now) !== 'pass') return admitsNobody(clause.name);
  }
  const { models, failing } = policy.models.admits(facts, now);
  return failing === null ? { eligible: true, models, failing } : admitsNobody(failing);
}

/** Of a node that this clause keeps out. One object a clause: almost every pair of a large network comes to one of them. */
export function admitsNobody(failing: ClauseName): Admission {
  return REFUSED[failing];
}
const REFUSED = Object.fromEntries(
  CLAUSES.map((failing) => [failing, Object.freeze({ eligible: false, models: Object.freeze([]), failing })]),
) as unknown as Readonly<Record<ClauseName, Admission>>;

/** The clause that is named when a node is counted out; null when it is eligible. */
export function firstFailing(decision: Decision): ClauseName | null {
  return decision.clauses.find(({ pass }) => !pass)?.clause ?? null;
}

/**
 * The rules of the manifest once more, read from its text and written as plainly as they can be: sets, loops, no
 * caches, nothing shared with the code that it judges but plain types. Slow and obvious on purpose. Where this file and
 * the product differ, one of the two has misread the rules.
 */
import type { Consent, Isolation } from '@subcloud/policy/consent';
import type { ClaimSource, FactName, FactValues, NodeFacts, Place } from '@subcloud/policy/facts';
import type { SubcloudSpec } from '@subcloud/policy/manifest';
import { placesHold } from './oracle-places.ts';

export type OracleSpec = Pick<SubcloudSpec, 'models' | 'nodes'>;

export interface OracleClause {
  readonly clause: string;
  readonly pass: boolean;
  /** The fact that the clause asks for is not known. */
  readonly unknown: boolean;
}

export interface OracleEligibility {
  readonly eligible: boolean;
  readonly clauses: readonly OracleClause[];
  /** What the node may serve under the policy, sorted. */
  readonly models: readonly string[];
}

/** Ten minutes: `nodes.maxAge` by default. */
export const ORACLE_MAX_AGE_MS = 10 * 60 * 1000;

/** Eligible: every `nodes` clause that is present passes, and at least one model that the node serves passes `models`. */
export function eligibility(spec: OracleSpec, node: NodeFacts, now: number): OracleEligibility {
  const clauses: OracleClause[] = [];

  const operators = spec.nodes.operators;
  if (operators !== undefined) {
    const pass = new Set<string>(operators.in).has(node.operator);
    clauses.push({ clause: 'nodes.operators', pass, unknown: false });
  }

  const location = spec.nodes.location;
  if (location !== undefined) {
    const value = factAtLeast(node, 'location', location.source, now);
    const candidates: readonly Place[] = value === undefined ? [] : value.candidates;
    // Sources that disagree leave several candidates: unknown, unless every one of them passes.
    const each = candidates.map((candidate) => placesHold(location.in, location.notIn, candidate));
    const pass = each.length > 0 && each.every((verdict) => verdict === 'yes');
    const certainlyOut = each.length > 0 && each.every((verdict) => verdict === 'no');
    clauses.push({ clause: 'nodes.location', pass, unknown: !pass && !certainlyOut });
  }

  const labels = spec.nodes.labels;
  if (labels !== undefined) {
    const has = factAtLeast(node, 'labels', 'declared', now);
    const pairs = new Set(Object.entries(has ?? {}).map(([key, value]) => JSON.stringify([key, value])));
    const pass = Object.entries(labels).every(([key, value]) => pairs.has(JSON.stringify([key, value])));
    clauses.push({ clause: 'nodes.labels', pass: has !== undefined && pass, unknown: has === undefined });
  }

  const serves = factAtLeast(node, 'models', 'declared', now);
  const allowed = spec.models.allow?.map((entry) => entry.id);
  const passing = new Set((serves ?? []).filter((model) => allowed === undefined || allowed.includes(model)));
  clauses.push({ clause: 'models.allow', pass: passing.size > 0, unknown: serves === undefined });

  const nodePasses = clauses.filter(({ clause }) => clause.startsWith('nodes.')).every(({ pass }) => pass);
  const eligible = nodePasses && passing.size > 0;
  return { eligible, clauses, models: eligible ? [...passing].sort() : [] };
}

const STRENGTH: Readonly<Record<ClaimSource, number>> = { declared: 1, measured: 2, attested: 3 };

/**
 * The strongest unexpired claim counts, if it is strong enough. Measured facts older than ten minutes are unknown;
 * where the node has no link they are as old as they were when it was last seen. Claims of equal strength that disagree
 * make the fact unknown.
 */
function factAtLeast<Fact extends FactName>(
  node: NodeFacts,
  fact: Fact,
  least: ClaimSource,
  now: number,
): FactValues[Fact] | undefined {
  const seenAt = node.lastSeenAt === null ? now : Math.min(node.lastSeenAt, now);
  const standing = node.claims
    .filter((claim) => claim.fact === fact)
    .filter((claim) => claim.expiresAt === null || now < claim.expiresAt)
    .filter((claim) => claim.source !== 'measured' || seenAt - claim.confirmedAt <= ORACLE_MAX_AGE_MS);
  const strongest = Math.max(0, ...standing.map((claim) => STRENGTH[claim.source]));
  if (strongest < STRENGTH[least]) return undefined;
  const counting = standing.filter((claim) => STRENGTH[claim.source] === strongest);
  const first = counting[0];
  if (first === undefined) return undefined;
  return counting.every((claim) => sameValue(claim.value, first.value)) ? (first.value as FactValues[Fact]) : undefined;
}

function sameValue(left: unknown, right: unknown): boolean {
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return left === right;
  const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
  const at = (of: object, key: string): unknown => Object.getOwnPropertyDescriptor(of, key)?.value;
  return [...keys].every(
    (key) => Object.hasOwn(left, key) === Object.hasOwn(right, key) && sameValue(at(left, key), at(right, key)),
  );
}

export interface OracleSubcloud {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly spec: OracleSpec & Pick<SubcloudSpec, 'participation'> & { readonly isolation: Isolation };
}

export interface OracleNode {
  readonly facts: NodeFacts;
  readonly consent: Consent;
}

const MORE: readonly Isolation[] = ['shared', 'isolate', 'exclusive'];
function notMoreThan(wanted: Isolation, allowed: Isolation): boolean {
  return MORE.indexOf(wanted) <= MORE.indexOf(allowed);
}

/** The operator's yes that names the Subcloud, for as much isolation as it has now. */
export function operatorNames(node: OracleNode, subcloud: OracleSubcloud): boolean {
  for (const entry of node.consent.join) {
    const name = typeof entry === 'string' ? entry : entry.name;
    const most = typeof entry === 'string' ? node.consent.isolation : entry.isolation;
    if (name === subcloud.name && notMoreThan(subcloud.spec.isolation, most)) return true;
  }
  return false;
}

/** The operator lets Subclouds of this owner, that isolate no more than this one, take the node by themselves. */
export function operatorLetsAutoJoin(node: OracleNode, subcloud: OracleSubcloud): boolean {
  if (!notMoreThan(subcloud.spec.isolation, node.consent.isolation)) return false;
  const { autoJoin } = node.consent;
  if (autoJoin === 'none') return false;
  return autoJoin === 'all' || new Set<string>(autoJoin.owners).has(subcloud.owner);
}

/**
 * The operator's yes: by name, or by letting the Subcloud take the node by itself where it does that at all. An
 * assignment needs none where operator and owner are the same.
 */
export function operatorSaysYes(node: OracleNode, subcloud: OracleSubcloud, assigned: boolean): boolean {
  const { mode, autoJoin } = subcloud.spec.participation;
  if (operatorNames(node, subcloud)) return true;
  if (mode === 'open' && autoJoin && operatorLetsAutoJoin(node, subcloud)) return true;
  return assigned && node.facts.operator === subcloud.owner;
}

/** The owner's yes. Open: whoever asks. Private: whom the owner invited or assigned, and nobody else. */
export function ownerSaysYes(subcloud: OracleSubcloud, assigned: boolean): boolean {
  return subcloud.spec.participation.mode === 'open' || assigned;
}

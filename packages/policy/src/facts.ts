/**
 * What is known of a node. Every fact is a claim with a source, an issuer and a time; nothing is known without one.
 * Invariants: a claim past its expiry does not exist; claims of equal strength that disagree make the fact unknown;
 * the strongest claim counts, and a weaker one that disagrees is a warning and no more.
 */
import type { PrincipalId } from './principal.ts';
import { canonicalJson } from './canonical-json.ts';

/** Weakest first: the agent says so, gateway or control saw it, somebody named signed it. */
export const CLAIM_SOURCES = ['declared', 'measured', 'attested'] as const;
export type ClaimSource = (typeof CLAIM_SOURCES)[number];

export interface Place {
  /** ISO 3166-1 alpha-2, upper case. */
  readonly country: string;
  /** ISO 3166-2, for example `DE-BY`. */
  readonly subdivision?: string;
}

export interface FactValues {
  /** Where the machine may be. Several candidates when the evidence does not agree; empty when there is none. */
  readonly location: { readonly candidates: readonly Place[]; readonly evidence: string };
  /** Network ids of the models that the node's engines serve. */
  readonly models: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}
export type FactName = keyof FactValues;

interface ClaimOf<Fact extends FactName> {
  readonly id: string;
  readonly fact: Fact;
  readonly value: FactValues[Fact];
  readonly source: ClaimSource;
  /** Who says so: `node:ID` for declared, `network` for measured. */
  readonly issuer: string;
  /** Milliseconds since the epoch, control's clock. */
  readonly issuedAt: number;
  /** When a measured fact was last seen to hold; a live link confirms it at each heartbeat. */
  readonly confirmedAt: number;
  /** Null: it holds until something replaces or revokes it. */
  readonly expiresAt: number | null;
}
export type Claim<Fact extends FactName = FactName> = { [Name in Fact]: ClaimOf<Name> }[Fact];

export interface NodeFacts {
  readonly nodeId: string;
  /** Who operates the node; comes from enrolment, so it needs no claim. */
  readonly operator: PrincipalId;
  readonly claims: readonly Claim[];
  /**
   * Null while the node has a link. Else when it was last seen: measured facts of an unlinked node do not age, since
   * nothing routes to it and they are measured again before anything does (docs/decisions/0003).
   */
  readonly lastSeenAt: number | null;
}

export type Resolved<Fact extends FactName> =
  | {
      readonly known: true;
      readonly claim: ClaimOf<Fact>;
      readonly ageMs: number;
      readonly warnings: readonly string[];
    }
  | {
      readonly known: false;
      readonly why: 'no claim' | 'expired' | 'stale' | 'too weak a source' | 'claims disagree' | 'malformed';
    };

export interface ResolveOptions {
  /** The least source that suffices. */
  readonly atLeast: ClaimSource;
  /** Measured claims that were confirmed longer ago than this are unknown. */
  readonly maxAgeMs: number;
  readonly now: number;
}

/** The claim that counts for one fact, or why there is none. Pure and total. */
export function resolveFact<Fact extends FactName>(
  facts: NodeFacts,
  fact: Fact,
  options: ResolveOptions,
): Resolved<Fact> {
  const { now } = options;
  const measuredNow = facts.lastSeenAt === null ? now : Math.min(now, facts.lastSeenAt);
  let expired = false;
  let stale = false;
  let weak = false;
  let best: ClaimOf<Fact> | undefined;
  let disagree = false;
  const weaker: ClaimOf<Fact>[] = [];
  for (const entry of facts.claims) {
    if (entry.fact !== fact) continue;
    const claim = entry as unknown as ClaimOf<Fact>;
    if (claim.expiresAt !== null && claim.expiresAt <= now) {
      expired = true;
      continue;
    }
    if (claim.source === 'measured' && measuredNow - claim.confirmedAt > options.maxAgeMs) {
      stale = true;
      continue;
    }
    if (rank(claim.source) < rank(options.atLeast)) {
      weak = true;
      weaker.push(claim);
      continue;
    }
    if (best === undefined || rank(claim.source) > rank(best.source)) {
      if (best !== undefined) weaker.push(best);
      best = claim;
      disagree = false;
    } else if (rank(claim.source) === rank(best.source)) {
      if (!sameValue(claim, best)) disagree = true;
    } else {
      weaker.push(claim);
    }
  }
  if (disagree) return { known: false, why: 'claims disagree' };
  if (best === undefined) {
    return { known: false, why: expired ? 'expired' : stale ? 'stale' : weak ? 'too weak a source' : 'no claim' };
  }
  // A weaker claim does not step in: whoever said the stronger one said something, and nobody can read what.
  if (!isWellFormed(fact, best.value)) return { known: false, why: 'malformed' };
  const warnings = weaker
    .filter((claim) => !sameValue(claim, best))
    .map((claim) => `${claim.source} ${fact} by ${claim.issuer} disagrees with the ${best.source} one`);
  const ageMs = Math.max(0, best.source === 'measured' ? measuredNow - best.confirmedAt : now - best.issuedAt);
  return { known: true, claim: best, ageMs, warnings };
}

/**
 * When time alone may next change what is known of the node, ms since the epoch: a claim expires, or a measured fact that
 * nobody confirms grows older than `maxAgeMs`. Null: never.
 */
export function nextChangeMs(
  facts: NodeFacts,
  { maxAgeMs, now }: Pick<ResolveOptions, 'maxAgeMs' | 'now'>,
): number | null {
  let next = Infinity;
  for (const claim of facts.claims) {
    if (claim.expiresAt !== null && claim.expiresAt > now) next = Math.min(next, claim.expiresAt);
    if (claim.source !== 'measured') continue;
    const staleAt = claim.confirmedAt + maxAgeMs + 1;
    const ages = facts.lastSeenAt === null || staleAt <= facts.lastSeenAt;
    if (ages && staleAt > now) next = Math.min(next, staleAt);
  }
  return next === Infinity ? null : next;
}

function sameValue(a: { readonly value: unknown }, b: { readonly value: unknown }): boolean {
  return canonicalJson(a.value) === canonicalJson(b.value);
}

/** Claims come out of stores and from signers outside; no clause reads a value whose shape nobody checked. */
function isWellFormed(fact: FactName, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  switch (fact) {
    case 'location':
      return 'candidates' in value && Array.isArray(value.candidates) && value.candidates.every(isPlaceShaped);
    case 'models':
      return Array.isArray(value) && value.every((id) => typeof id === 'string');
    case 'labels':
      return !Array.isArray(value) && Object.values(value).every((text) => typeof text === 'string');
    default:
      return false;
  }
}

function isPlaceShaped(place: unknown): boolean {
  if (typeof place !== 'object' || place === null || !('country' in place)) return false;
  const subdivision: unknown = 'subdivision' in place ? place.subdivision : undefined;
  return typeof place.country === 'string' && (subdivision === undefined || typeof subdivision === 'string');
}

function rank(source: ClaimSource): number {
  return CLAIM_SOURCES.indexOf(source);
}

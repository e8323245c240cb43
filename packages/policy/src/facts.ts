/**
 * What is known of a node. Every fact is a claim with a source, an issuer and a time; nothing is known without one.
 * Invariants: a claim past its expiry does not exist; claims of equal strength that disagree make the fact unknown;
 * the strongest claim counts, and a weaker one that disagrees is a warning and no more.
 */
import { canonicalJson } from './canonical-json.ts';
import { type FactName, type FactValues, comparable, isWellFormed } from './fact-values.ts';
import type { PrincipalId } from './principal.ts';

export type { FactName, FactValues, GpuFact, ModelFact, Place } from './fact-values.ts';

/** Weakest first: the agent says so, gateway or control saw it, somebody named signed it. */
export const CLAIM_SOURCES = ['declared', 'measured', 'attested'] as const;
export type ClaimSource = (typeof CLAIM_SOURCES)[number];

export interface ClaimOf<Fact extends FactName> {
  readonly id: string;
  readonly fact: Fact;
  readonly value: FactValues[Fact];
  readonly source: ClaimSource;
  /** Who says so: `node:ID` for declared, `network` for measured, the attester's name for attested. */
  readonly issuer: string;
  /** Of an attested claim: whose attester it is. Null or absent: the network's, which counts everywhere. */
  readonly issuerOwner?: PrincipalId | null;
  /** Milliseconds since the epoch, control's clock. */
  readonly issuedAt: number;
  /** When a measured fact was last seen to hold; a live link confirms it at each heartbeat. */
  readonly confirmedAt: number;
  /** Null: it holds until something replaces or revokes it. */
  readonly expiresAt: number | null;
}
export type Claim<Fact extends FactName = FactName> = { [Name in Fact]: ClaimOf<Name> }[Fact];

/** Never changed once made: what is derived from it is kept beside it. */
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
  /** When a live link last confirmed everything that is measured; absent: a claim's own time alone counts. */
  readonly confirmedAt?: number | undefined;
}

/** A claim, with what is derived from it when somebody first asks: most claims are never asked about. */
interface IndexedClaim {
  readonly claim: Claim;
  readonly rank: number;
  readable: boolean | undefined;
  text: string | undefined;
}

/** Claims by fact, strongest first: what every clause reads. */
export interface IndexedFacts {
  readonly nodeId: string;
  readonly operator: PrincipalId;
  readonly lastSeenAt: number | null;
  readonly confirmedAt: number | undefined;
  readonly byFact: Readonly<Record<FactName, readonly IndexedClaim[]>>;
}

const indexes = new WeakMap<NodeFacts, IndexedFacts>();
/** Heartbeats and links make new facts of the same claims. */
const claimIndexes = new WeakMap<readonly Claim[], IndexedFacts['byFact']>();

/** The index of these facts; made once for each facts object. */
export function indexFacts(facts: NodeFacts): IndexedFacts {
  const known = indexes.get(facts);
  if (known !== undefined) return known;
  const { nodeId, operator, lastSeenAt, confirmedAt } = facts;
  const indexed: IndexedFacts = { nodeId, operator, lastSeenAt, confirmedAt, byFact: indexClaims(claimsOf(facts)) };
  indexes.set(facts, indexed);
  return indexed;
}

function indexClaims(claims: readonly Claim[]): IndexedFacts['byFact'] {
  const known = claimIndexes.get(claims);
  if (known !== undefined) return known;
  const byFact = emptyIndex();
  for (const claim of claims) {
    if (typeof claim.fact !== 'string' || !Object.hasOwn(byFact, claim.fact)) continue;
    const list = byFact[claim.fact];
    const rank = RANKS.get(claim.source) ?? -1;
    let at = list.length;
    while (at > 0 && (list[at - 1]?.rank ?? rank) < rank) at -= 1;
    list.splice(at, 0, { claim, rank, readable: undefined, text: undefined });
  }
  claimIndexes.set(claims, byFact);
  return byFact;
}

function emptyIndex(): Record<FactName, IndexedClaim[]> {
  return {
    location: [],
    operatorSeat: [],
    models: [],
    hardware: [],
    trustLevel: [],
    reputation: [],
    stake: [],
    uptime30d: [],
    audit: [],
    labels: [],
  };
}

/** Facts come out of a store, so a list that holds something else than claims is a list of the claims in it. */
function claimsOf({ claims }: NodeFacts): readonly Claim[] {
  const found: unknown = claims;
  if (!Array.isArray(found)) return [];
  return found.every(isObject) ? claims : claims.filter(isObject);
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

const RANKS: ReadonlyMap<string, number> = new Map(CLAIM_SOURCES.map((source, rank) => [source, rank]));

/** Whether the value has the shape of its fact, and what stands around it that of a claim. */
function isReadable(entry: IndexedClaim): boolean {
  entry.readable ??= isSound(entry.claim) && isWellFormed(entry.claim.fact, entry.claim.value);
  return entry.readable;
}

function isSound({ issuer, issuerOwner = null, issuedAt, confirmedAt, expiresAt }: Claim): boolean {
  return (
    typeof issuer === 'string' &&
    (issuerOwner === null || typeof issuerOwner === 'string') &&
    Number.isFinite(issuedAt) &&
    Number.isFinite(confirmedAt) &&
    (expiresAt === null || Number.isFinite(expiresAt))
  );
}

/** Equal exactly for claims that say the same of a fact; null where nobody can read what is said. */
function textOf(entry: IndexedClaim): string | null {
  if (!isReadable(entry)) return null;
  entry.text ??= canonicalJson(comparable(entry.claim.fact, entry.claim.value));
  return entry.text;
}

/** Where a fact may come from for one clause. */
export interface Requirement {
  readonly source: ClaimSource;
  /** True: exactly this source (a list of sources asks for each); false: this or a stronger one. */
  readonly exact: boolean;
  /** Issuers whose attestations count; null: the network's attesters. */
  readonly by: ReadonlySet<string> | null;
  /** Owner of the Subcloud that asks: what its own attesters say counts where `by` names them. */
  readonly owner: PrincipalId | null;
  /** Measured claims that were confirmed longer ago than this are unknown. */
  readonly maxAgeMs: number;
}

/** The most telling reason comes last. */
const WHY_ORDER = ['no claim', 'too weak a source', 'no accepted issuer', 'expired', 'stale'] as const;
export type Unknown = (typeof WHY_ORDER)[number] | 'claims disagree' | 'malformed';
export type Resolution<Fact extends FactName = FactName> =
  | { readonly claim: ClaimOf<Fact>; readonly ageMs: number; readonly why?: undefined }
  | { readonly claim: undefined; readonly why: Unknown; readonly ageMs?: undefined };

/** The claim that counts for one fact, or why there is none. Pure and total. */
export function resolveClaim<Fact extends FactName>(
  facts: IndexedFacts,
  fact: Fact,
  requirement: Requirement,
  now: number,
): Resolution<Fact> {
  const claim = countedClaim(facts, fact, requirement, now);
  if (typeof claim !== 'string') return { claim, ageMs: ageOf(claim as unknown as Claim, facts, now) };
  if (claim !== 'no claim') return { claim: undefined, why: claim };
  let why: (typeof WHY_ORDER)[number] = 'no claim';
  for (const entry of facts.byFact[fact]) {
    const refused = refusal(entry, facts, requirement, now) ?? 'no claim';
    if (WHY_ORDER.indexOf(refused) > WHY_ORDER.indexOf(why)) why = refused;
  }
  return { claim: undefined, why };
}

/** The same without the words, for the fast form: `no claim` where there is none that the requirement accepts. */
export function countedClaim<Fact extends FactName>(
  facts: IndexedFacts,
  fact: Fact,
  requirement: Requirement,
  now: number,
): ClaimOf<Fact> | 'no claim' | 'claims disagree' | 'malformed' {
  let best: IndexedClaim | undefined;
  for (const entry of facts.byFact[fact]) {
    if (best !== undefined && entry.rank < best.rank) break;
    if (refusal(entry, facts, requirement, now) !== null) continue;
    if (best === undefined) best = entry;
    else if (textOf(entry) !== textOf(best)) return 'claims disagree';
  }
  if (best === undefined) return 'no claim';
  // A weaker claim does not step in: whoever said the stronger one said something, and nobody can read what.
  return isReadable(best) ? (best.claim as unknown as ClaimOf<Fact>) : 'malformed';
}

/** Every claim of the fact that the requirement accepts, for facts of which a node may have several. */
export function acceptedClaims<Fact extends FactName>(
  facts: IndexedFacts,
  fact: Fact,
  requirement: Requirement,
  now: number,
): readonly ClaimOf<Fact>[] {
  return facts.byFact[fact]
    .filter((entry) => refusal(entry, facts, requirement, now) === null && isReadable(entry))
    .map(({ claim }) => claim as unknown as ClaimOf<Fact>);
}

/** Weaker claims that say something else than the one that counts, in words. */
export function warningsOf<Fact extends FactName>(
  facts: IndexedFacts,
  fact: Fact,
  counted: ClaimOf<Fact>,
  now: number,
): string[] {
  const entries = facts.byFact[fact];
  const rank = RANKS.get(counted.source) ?? -1;
  const own = entries.find(({ claim }) => (claim as unknown) === counted);
  const text =
    own === undefined ? canonicalJson(comparable(fact, counted.value)) : (textOf(own) ?? canonicalJson(null));
  return entries
    .filter((entry) => entry.rank >= 0 && entry.rank < rank && !isExpired(entry.claim, now) && textOf(entry) !== text)
    .map(({ claim }) => {
      const issuer = typeof claim.issuer === 'string' ? claim.issuer : 'an unreadable issuer';
      return `${claim.source} ${fact} by ${issuer} disagrees with the ${counted.source} one`;
    });
}

function refusal(
  { claim, rank }: IndexedClaim,
  facts: IndexedFacts,
  requirement: Requirement,
  now: number,
): (typeof WHY_ORDER)[number] | null {
  const least = requirement.source === 'declared' ? 0 : requirement.source === 'measured' ? 1 : 2;
  if (rank < least || (requirement.exact && rank !== least)) return 'too weak a source';
  if (rank === 2 && !isAcceptedIssuer(claim, requirement)) return 'no accepted issuer';
  if (isExpired(claim, now)) return 'expired';
  // Asked this way round, an age or a limit that is no number is too old.
  if (rank === 1 && !(ageOf(claim, facts, now) <= requirement.maxAgeMs)) return 'stale';
  return null;
}

function isAcceptedIssuer({ issuer, issuerOwner = null }: Claim, { by, owner }: Requirement): boolean {
  if (by === null) return issuerOwner === null;
  return by.has(issuer) && (issuerOwner === null || issuerOwner === owner);
}

function isExpired({ expiresAt }: Claim, now: number): boolean {
  return expiresAt !== null && timeOf(expiresAt) <= now;
}

function ageOf(claim: Claim, facts: Pick<NodeFacts, 'lastSeenAt' | 'confirmedAt'>, now: number): number {
  if (claim.source !== 'measured') return Math.max(0, now - timeOf(claim.issuedAt));
  const { lastSeenAt } = facts;
  const seenAt = lastSeenAt === null ? now : Math.min(now, timeOf(lastSeenAt));
  return Math.max(0, seenAt - confirmedAtMs(claim, facts));
}

/** When a measured claim was last seen to hold: by itself, or by the link that confirms all of them at once. */
export function confirmedAtMs(claim: Claim, { confirmedAt }: Pick<NodeFacts, 'confirmedAt'>): number {
  const own = timeOf(claim.confirmedAt);
  return confirmedAt === undefined ? own : Math.max(own, timeOf(confirmedAt));
}

/** What a store holds for a time may be any JSON, and some objects cannot even be compared: no number is no time. */
function timeOf(time: unknown): number {
  return typeof time === 'number' ? time : Number.NaN;
}

/** Earliest expiry of the live claims of these facts, ms since the epoch; null: none of them has one. */
export function earliestExpiryMs(facts: NodeFacts, reads: ReadonlySet<FactName>, now: number): number | null {
  let earliest = Infinity;
  for (const { fact, expiresAt } of claimsOf(facts)) {
    const endsAt = timeOf(expiresAt);
    if (endsAt > now && endsAt < earliest && reads.has(fact)) earliest = endsAt;
  }
  return earliest === Infinity ? null : earliest;
}

/**
 * When time alone may next change what is known of the node, ms since the epoch: a claim expires, a measured fact that
 * nobody confirms grows older than `maxAgeMs`, or an audit older than one of `auditAgesMs`. Null: never.
 */
export function nextChangeMs(
  facts: NodeFacts,
  {
    maxAgeMs,
    now,
    auditAgesMs = [],
  }: { readonly maxAgeMs: number; readonly now: number; readonly auditAgesMs?: readonly number[] },
): number | null {
  let next = Infinity;
  for (const claim of claimsOf(facts)) {
    const endsAt = timeOf(claim.expiresAt);
    if (endsAt > now) next = Math.min(next, endsAt);
    if (claim.fact === 'audit') {
      for (const ageMs of auditAgesMs) {
        const tooOldAt = timeOf(claim.issuedAt) + ageMs + 1;
        if (tooOldAt > now) next = Math.min(next, tooOldAt);
      }
    }
    if (claim.source !== 'measured') continue;
    const staleAt = confirmedAtMs(claim, facts) + maxAgeMs + 1;
    const ages = facts.lastSeenAt === null || staleAt <= timeOf(facts.lastSeenAt);
    if (ages && staleAt > now) next = Math.min(next, staleAt);
  }
  return next === Infinity ? null : next;
}

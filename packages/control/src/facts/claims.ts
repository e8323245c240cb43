/**
 * Claims as control keeps them. In memory a node has those that are in force: at most one for each (fact, source, issuer),
 * and the audits of the digests that it serves. The store has the revoked ones too, for the record.
 *
 * A revoked statement of an agent or a measurement stays revoked: the same value said again does not bring it back, not
 * even after another one in between; a value that was not revoked counts. Lifting it takes the admin.
 */
import type { Insertable, Kysely } from 'kysely';
import { newId } from '@subcloud/kit/clock';
import { type Claim, type FactName, type FactValues, type NodeFacts, confirmedAtMs } from '@subcloud/policy/facts';
import { canonicalJson } from '@subcloud/policy/canonical-json';
import type { Schema } from '../store/schema.ts';

export interface ClaimDraft<Fact extends FactName = FactName> {
  readonly fact: Fact;
  readonly value: FactValues[Fact];
  readonly source: 'declared' | 'measured';
  readonly issuer: string;
  readonly expiresAt: number | null;
}

/** A declared or measured claim that was revoked. */
export interface RevokedStatement {
  readonly id: string;
  readonly fact: string;
  readonly source: string;
  readonly issuer: string;
  /** Canonical JSON of the value. */
  readonly text: string;
}

/**
 * The node's claims with `drafts` put in the place of older ones of the same fact, source and issuer. An unchanged value
 * keeps its id and issue time, and one that is as it was keeps its claim; a revoked one counts for nothing, and what it
 * replaces is gone all the same. The same array where nothing differs.
 */
export function withClaims(
  claims: Claim[],
  drafts: readonly ClaimDraft[],
  nowMs: number,
  revoked: readonly RevokedStatement[] = [],
): Claim[] {
  const next = [...claims];
  let differs = false;
  for (const draft of drafts) {
    const index = next.findIndex((claim) => isSameLine(claim, draft));
    const old = next[index];
    const text = canonicalJson(draft.value);
    if (revoked.some((statement) => isSameLine(statement, draft) && statement.text === text)) {
      if (old === undefined) continue;
      next.splice(index, 1);
      differs = true;
      continue;
    }
    const unchanged = old !== undefined && canonicalJson(old.value) === text;
    // That a measured one still holds is the link's to say, of all of them at once.
    if (unchanged && old.expiresAt === draft.expiresAt) continue;
    differs = true;
    const claim = {
      ...draft,
      id: unchanged ? old.id : newId('clm'),
      issuedAt: unchanged ? old.issuedAt : nowMs,
      confirmedAt: nowMs,
    } as unknown as Claim;
    if (old === undefined) next.push(claim);
    else next[index] = claim;
  }
  return differs ? next : claims;
}

/** Whether a measured claim is too old to count for somebody who asks for `maxAgeMs`: a live link revives it. */
export function hasStale(facts: NodeFacts, maxAgeMs: number, nowMs: number): boolean {
  return oldestMeasuredMs(facts, nowMs) > maxAgeMs;
}

/** Age of the oldest measured claim; 0: there is none. */
export function oldestMeasuredMs(facts: NodeFacts, nowMs: number): number {
  const seenAtMs = facts.lastSeenAt === null ? nowMs : Math.min(nowMs, facts.lastSeenAt);
  let oldestMs = 0;
  for (const claim of facts.claims)
    if (claim.source === 'measured') oldestMs = Math.max(oldestMs, seenAtMs - confirmedAtMs(claim, facts));
  return oldestMs;
}

/** Facts of which a measured claim is too old for somebody who asks for `maxAgeMs`. */
export function staleFacts(facts: NodeFacts, maxAgeMs: number, nowMs: number): ReadonlySet<FactName> {
  const stale = new Set<FactName>();
  const seenAtMs = facts.lastSeenAt === null ? nowMs : Math.min(nowMs, facts.lastSeenAt);
  for (const claim of facts.claims)
    if (claim.source === 'measured' && seenAtMs - confirmedAtMs(claim, facts) > maxAgeMs) stale.add(claim.fact);
  return stale;
}

/**
 * Facts of which two states of a node's claims say different things. A claim that says the same for longer changes
 * nothing, unless it had run out.
 */
export function changedFacts(before: readonly Claim[], after: readonly Claim[], nowMs: number): Set<FactName> {
  const changed = new Set<FactName>();
  if (before === after) return changed;
  const inForce = ({ expiresAt }: Claim): boolean => expiresAt === null || expiresAt > nowMs;
  const known = new Map(before.map((claim) => [claim.id, claim]));
  for (const claim of after) {
    const old = known.get(claim.id);
    if (old === claim || (old !== undefined && inForce(old) === inForce(claim))) known.delete(claim.id);
    else changed.add(claim.fact);
  }
  for (const gone of known.values()) changed.add(gone.fact);
  return changed;
}

/** Of several claims that fall on one line (fact, source, issuer) one alone is in force. */
export function isSameLine(
  a: { readonly fact: string; readonly source: string; readonly issuer: string },
  b: { readonly fact: string; readonly source: string; readonly issuer: string },
): boolean {
  return a.fact === b.fact && a.source === b.source && a.issuer === b.issuer;
}

export interface ClaimsChange {
  readonly node: string;
  readonly before: readonly Claim[];
  readonly after: readonly Claim[];
}

/** Rows in one statement: nine parameters each, well below PostgreSQL's 65,535. */
const BATCH = 1_000;

/**
 * Writes what differs between two states of nodes' declared and measured claims, in few statements however many nodes.
 * Attested ones have their own way in. A confirmation alone is not written: liveness is, once a minute.
 */
export async function replaceClaims(tx: Kysely<Schema>, changes: readonly ClaimsChange[]): Promise<void> {
  const gone: string[] = [];
  const rows: Insertable<Schema['claims']>[] = [];
  for (const { node, before, after } of changes) {
    if (before === after) continue;
    const kept = new Set(after.map(({ id }) => id));
    gone.push(...before.filter((claim) => isOwn(claim) && !kept.has(claim.id)).map(({ id }) => id));
    for (const claim of after)
      if (isOwn(claim) && !before.some((known) => saysTheSame(known, claim))) rows.push(rowOf(node, claim));
  }
  for (let start = 0; start < gone.length; start += BATCH) {
    const ids = gone.slice(start, start + BATCH);
    await tx.deleteFrom('claims').where('id', 'in', ids).where('revoked_at', 'is', null).execute();
  }
  for (let start = 0; start < rows.length; start += BATCH) {
    await tx
      .insertInto('claims')
      .values(rows.slice(start, start + BATCH))
      .onConflict((conflict) =>
        conflict
          .columns(['node_id', 'fact', 'source', 'issuer'])
          .where('revoked_at', 'is', null)
          .doUpdateSet((row) => ({
            id: row.ref('excluded.id'),
            value: row.ref('excluded.value'),
            issued_at: row.ref('excluded.issued_at'),
            confirmed_at: row.ref('excluded.confirmed_at'),
            expires_at: row.ref('excluded.expires_at'),
          })),
      )
      .execute();
  }
}

function isOwn(claim: Claim): boolean {
  return claim.source !== 'attested';
}

function saysTheSame(a: Claim, b: Claim): boolean {
  if (a === b) return true;
  return (
    a.id === b.id &&
    a.issuedAt === b.issuedAt &&
    a.expiresAt === b.expiresAt &&
    canonicalJson(a.value) === canonicalJson(b.value)
  );
}

function rowOf(node: string, claim: Claim): Insertable<Schema['claims']> {
  return {
    id: claim.id,
    node_id: node,
    fact: claim.fact,
    value: JSON.stringify(claim.value),
    source: claim.source,
    issuer: claim.issuer,
    issued_at: claim.issuedAt,
    confirmed_at: claim.confirmedAt,
    expires_at: claim.expiresAt,
  };
}

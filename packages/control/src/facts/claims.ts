/** Claims as the store keeps them: at most one a (node, fact, source, issuer), the newest. */
import type { Kysely } from 'kysely';
import { newId } from '@subcloud/kit/clock';
import type { Claim, FactName, FactValues } from '@subcloud/policy/facts';
import { canonicalJson } from '@subcloud/policy/canonical-json';
import { DEFAULT_MAX_AGE_MS } from '@subcloud/policy/manifest';
import type { Schema } from '../store/schema.ts';

export interface ClaimDraft<Fact extends FactName = FactName> {
  readonly fact: Fact;
  readonly value: FactValues[Fact];
  readonly source: 'declared' | 'measured';
  readonly issuer: string;
  readonly expiresAt: number | null;
}

/** The node's claims with `drafts` put in the place of older ones of the same fact, source and issuer. An unchanged value keeps its id and issue time. */
export function withClaims(claims: readonly Claim[], drafts: readonly ClaimDraft[], nowMs: number): Claim[] {
  const next = [...claims];
  for (const draft of drafts) {
    const index = next.findIndex(
      ({ fact, source, issuer }) => fact === draft.fact && source === draft.source && issuer === draft.issuer,
    );
    const old = next[index];
    const unchanged = old !== undefined && canonicalJson(old.value) === canonicalJson(draft.value);
    const claim = {
      ...draft,
      id: old?.id ?? newId('clm'),
      issuedAt: unchanged ? old.issuedAt : nowMs,
      confirmedAt: nowMs,
    } as unknown as Claim;
    if (old === undefined) next.push(claim);
    else next[index] = claim;
  }
  return next;
}

/**
 * A live link confirms what it measures. `revived`: a claim had grown too old to count meanwhile, so that what is known of
 * the node changes now.
 */
export function confirmMeasured(
  claims: readonly Claim[],
  nowMs: number,
): { readonly claims: Claim[]; readonly revived: boolean } {
  return {
    claims: claims.map((claim) => (claim.source === 'measured' ? { ...claim, confirmedAt: nowMs } : claim)),
    revived: claims.some(
      ({ source, confirmedAt }) => source === 'measured' && nowMs - confirmedAt > DEFAULT_MAX_AGE_MS,
    ),
  };
}

export async function saveClaims(tx: Kysely<Schema>, node: string, claims: readonly Claim[]): Promise<void> {
  if (claims.length === 0) return;
  await tx
    .insertInto('claims')
    .values(
      claims.map((claim) => ({
        id: claim.id,
        node_id: node,
        fact: claim.fact,
        value: JSON.stringify(claim.value),
        source: claim.source,
        issuer: claim.issuer,
        issued_at: claim.issuedAt,
        confirmed_at: claim.confirmedAt,
        expires_at: claim.expiresAt,
      })),
    )
    .onConflict((conflict) =>
      conflict.columns(['node_id', 'fact', 'source', 'issuer']).doUpdateSet((row) => ({
        value: row.ref('excluded.value'),
        issued_at: row.ref('excluded.issued_at'),
        confirmed_at: row.ref('excluded.confirmed_at'),
        expires_at: row.ref('excluded.expires_at'),
      })),
    )
    .execute();
}

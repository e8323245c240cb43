/** Whether a claim counts at this moment, or why not, for people. Policies decide for themselves (`by`, `source`, `maxAge`). */
import type { Claim, IndexedFacts } from '@subcloud/policy/facts';
import { resolveClaim } from '@subcloud/policy/facts';
import { DEFAULT_MAX_AGE_MS } from '@subcloud/policy/manifest';

export interface Counted {
  readonly counted: boolean;
  /** Why it does not count, or where alone it does; null: it counts wherever its fact is asked for. */
  readonly why: string | null;
}

/** `facts`: of the node that the claim is about; undefined for an audit, which stands beside others and contradicts none. */
export function countedOf(claim: Claim, facts: IndexedFacts | undefined, nowMs: number): Counted {
  if (claim.expiresAt !== null && claim.expiresAt <= nowMs) return { counted: false, why: 'expired' };
  const { issuerOwner = null } = claim;
  if (issuerOwner !== null)
    return { counted: true, why: `only in Subclouds of ${issuerOwner} whose by names ${claim.issuer}` };
  if (facts === undefined) return { counted: true, why: null };
  const requirement = {
    source: 'declared',
    exact: false,
    by: null,
    owner: null,
    maxAgeMs: DEFAULT_MAX_AGE_MS,
  } as const;
  const resolution = resolveClaim(facts, claim.fact, requirement, nowMs);
  if (resolution.claim?.id === claim.id) return { counted: true, why: null };
  const alone = resolveClaim(facts, claim.fact, { ...requirement, source: claim.source, exact: true }, nowMs);
  if (resolution.claim === undefined) return { counted: false, why: resolution.why };
  const { source, issuer } = resolution.claim;
  if (source === claim.source) return { counted: true, why: null };
  if (alone.claim === undefined) return { counted: false, why: alone.why };
  return { counted: false, why: `${source} by ${issuer} is stronger` };
}

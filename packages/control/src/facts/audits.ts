/**
 * Audits are about model weights, not about a node: one claim a (digest, issuer), network-wide. Every node that serves the
 * digest has it among its claims, so that decisions, expiry and explanations read it like any other.
 */
import type { Claim, ModelFact } from '@subcloud/policy/facts';
import { isWellFormed } from '@subcloud/policy/fact-values';
import type { NodeRecord, World } from '../world/world.ts';

/** Claims with the audits of the digests that they say are served, and no other audit. The same array where nothing differs. */
export function withAudits(audits: World['audits'], claims: Claim[]): Claim[] {
  const wanted = [...digestsOf(claims)].flatMap((digest) => audits.get(digest) ?? []);
  const present = claims.filter(({ fact }) => fact === 'audit');
  if (wanted.length === present.length && wanted.every((audit) => present.includes(audit))) return claims;
  return [...claims.filter(({ fact }) => fact !== 'audit'), ...wanted];
}

export function nodesServing(world: World, digest: string): NodeRecord[] {
  return [...world.nodes.values()].filter(({ claims }) => digestsOf(claims).has(digest));
}

/** Digests of the models in any claim about what is served, whoever made it: which of them counts is a policy's business. */
export function digestsOf(claims: readonly Claim[]): Set<string> {
  const digests = new Set<string>();
  for (const claim of claims) {
    if (claim.fact !== 'models' || !isWellFormed('models', claim.value)) continue;
    for (const { digest } of claim.value as readonly ModelFact[]) if (digest !== null) digests.add(digest);
  }
  return digests;
}

/** Puts a new list of audits of one digest in force; to be called where the store already says the same. */
export function applyAudits(world: World, digest: string, audits: readonly Claim[]): void {
  if (audits.length === 0) world.audits.delete(digest);
  else world.audits.set(digest, audits);
  for (const node of nodesServing(world, digest)) node.claims = withAudits(world.audits, node.claims);
}

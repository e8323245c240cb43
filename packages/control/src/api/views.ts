/** What of the world the API shows, and in which words. */
import type { Drain, Member, NodeDetail, NodeSummary, SubcloudSummary } from '@subcloud/contract/routes/shapes';
import {
  type ClaimSource,
  type FactName,
  type IndexedFacts,
  confirmedAtMs,
  indexFacts,
  resolveClaim,
  warningsOf,
} from '@subcloud/policy/facts';
import { FACT_NAMES } from '@subcloud/policy/fact-values';
import { DEFAULT_MAX_AGE_MS } from '@subcloud/policy/manifest';
import { type Membership } from '../membership/reconcile.ts';
import { type NodeRecord, type SubcloudRecord, type World, isOnline } from '../world/world.ts';
import { rowKey } from '@subcloud/contract/table';
import type { PublishedTable } from '../compile/published-table.ts';
import { linkWarnings } from '../facts/node-alerts.ts';
import { factsOf } from '../world/facts-of.ts';
import { iso, isoOrNull } from './context.ts';

export function nodeView(world: World, node: NodeRecord, nowMs: number, draining: Drain | undefined): NodeSummary {
  const facts = indexFacts(factsOf(world, node));
  const known = <Fact extends FactName>(fact: Fact, source: ClaimSource) =>
    resolveClaim(facts, fact, { source, exact: false, by: null, owner: null, maxAgeMs: DEFAULT_MAX_AGE_MS }, nowMs)
      .claim;
  const location = known('location', 'measured');
  return {
    id: node.id,
    name: node.name,
    operator: node.operator,
    online: isOnline(world, node.id),
    enrolledAt: iso(node.enrolledAtMs),
    lastSeenAt: isoOrNull(node.lastSeenAtMs),
    address: node.address,
    agentVersion: node.agentVersion,
    models: known('models', 'declared')?.value.map(({ id }) => id) ?? [],
    labels: { ...known('labels', 'declared')?.value },
    location: location?.value.candidates.map((place) => ({ ...place })) ?? [],
    pools: [...node.memberships].flatMap(([id, { state, reason }]) => {
      const subcloud = world.subclouds.get(id);
      return subcloud === undefined ? [] : [{ pool: subcloud.name, state, reason }];
    }),
    ...(draining === undefined ? {} : { draining }),
    warnings: [...nodeWarnings(facts, nowMs), ...linkWarnings(node.alerts, world.links.get(node.id) ?? [], nowMs)],
  };
}

/** Claims of equal strength that contradict each other, and weaker ones that say something else than the one that counts. */
export function nodeWarnings(facts: IndexedFacts, nowMs: number): string[] {
  return FACT_NAMES.flatMap((fact) => {
    // Audits are about one digest each: two of them contradict nothing.
    if (fact === 'audit') return [];
    const requirement = {
      source: 'declared',
      exact: false,
      by: null,
      owner: null,
      maxAgeMs: DEFAULT_MAX_AGE_MS,
    } as const;
    const { claim, why } = resolveClaim(facts, fact, requirement, nowMs);
    if (why === 'claims disagree') return [`${fact} is unknown: claims of equal strength disagree`];
    return claim === undefined ? [] : warningsOf(facts, fact, claim, nowMs);
  });
}

export function nodeDetailView(world: World, node: NodeRecord, nowMs: number, draining: Drain | undefined): NodeDetail {
  return {
    ...nodeView(world, node, nowMs, draining),
    publicKey: node.publicKey,
    consent: node.consent,
    claims: node.claims.map((claim) => ({
      id: claim.id,
      fact: claim.fact,
      value: claim.value,
      source: claim.source,
      issuer: claim.issuer,
      issuedAt: iso(claim.issuedAt),
      confirmedAt: iso(claim.source === 'measured' ? confirmedAtMs(claim, factsOf(world, node)) : claim.confirmedAt),
      expiresAt: isoOrNull(claim.expiresAt),
    })),
  };
}

export function servingModels(table: PublishedTable, pool: string, node: string): string[] {
  const row = table.rows.get(rowKey.member(pool, node));
  return row === undefined ? [] : (JSON.parse(row) as { models: string[] }).models;
}

export function memberView(
  world: World,
  table: PublishedTable,
  subcloud: SubcloudRecord,
  node: NodeRecord,
  membership: Membership,
): Member {
  const models = servingModels(table, subcloud.name, node.id);
  const online = isOnline(world, node.id);
  return {
    subcloud: subcloud.name,
    node: node.id,
    nodeName: node.name,
    operator: node.operator,
    state: membership.state,
    reason: membership.reason,
    since: iso(membership.sinceMs),
    activeSince: isoOrNull(membership.activeSinceMs),
    online,
    serving: online && node.drain === undefined && models.length > 0,
    models,
    ...drainedSince(node),
  };
}

/** For whoever may see a node in a Subcloud; why and by whom is its operator's. */
export function drainedSince({ drain }: NodeRecord): { readonly draining?: { readonly since: string } } {
  return drain === undefined ? {} : { draining: { since: iso(drain.sinceMs) } };
}

export function subcloudView(world: World, table: PublishedTable, subcloud: SubcloudRecord): SubcloudSummary {
  const members: Record<string, number> = {};
  const models: Record<string, number> = {};
  for (const node of world.nodes.values()) {
    const state = node.memberships.get(subcloud.id)?.state;
    if (state === undefined) continue;
    members[state] = (members[state] ?? 0) + 1;
    if (state === 'active')
      for (const model of servingModels(table, subcloud.name, node.id)) models[model] = (models[model] ?? 0) + 1;
  }
  const { mode, autoJoin } = subcloud.participation;
  return {
    id: subcloud.id,
    name: subcloud.name,
    owner: subcloud.owner,
    displayName: subcloud.manifest?.metadata.displayName ?? null,
    revision: subcloud.revision,
    effectiveHash: subcloud.effectiveHash,
    participation: autoJoin ? `${mode}, auto-join` : mode,
    isolation: subcloud.isolation,
    createdAt: iso(subcloud.createdAtMs),
    updatedAt: iso(subcloud.updatedAtMs),
    members,
    models,
  };
}

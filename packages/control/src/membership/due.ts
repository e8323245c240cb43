/**
 * When time alone may next change a node. A pass says it once; since then heartbeats may have confirmed what would have
 * grown too old, and then there is nothing to decide.
 */
import { NO_CONSENT } from '@subcloud/policy/consent';
import { nextChangeMs } from '@subcloud/policy/facts';
import { DEFAULT_MAX_AGE_MS } from '@subcloud/policy/manifest';
import { factsOf } from '../world/facts-of.ts';
import type { NodeRecord, World } from '../world/world.ts';
import type { ReconcileInput } from './membership.ts';
import { membershipDueMs } from './next-membership.ts';

export interface DueCheck {
  /** Whether the time has come for something, since the last pass. Where it has not, the node is told when it will. */
  readonly isDue: (node: NodeRecord) => boolean;
  /** As of the last pass, by what is known now. */
  readonly dueMs: (node: NodeRecord) => number | null;
}

/** For one turn: the policies are asked for their ages once. */
export function dueCheck(world: World, nowMs: number): DueCheck {
  const ages = agesOf(world);
  const maxAgesMs = [...ages.maxAgesMs];
  const auditAgesMs = [...ages.auditAgesMs];
  const dueMs = (node: NodeRecord): number | null => {
    const { id, operator, consent, memberships, decidedAtMs } = node;
    const facts = factsOf(world, node);
    const state = { id, operator, consent: consent ?? NO_CONSENT, facts };
    const input: ReconcileInput = { node: state, memberships, subclouds: [], nowMs: decidedAtMs, absenceCounts: true };
    let due = Number.POSITIVE_INFINITY;
    const at = (ms: number | null): void => void (due = Math.min(due, ms ?? due));
    for (const maxAgeMs of maxAgesMs) at(nextChangeMs(facts, { maxAgeMs, auditAgesMs, now: decidedAtMs }));
    for (const [subcloudId, membership] of memberships)
      at(membershipDueMs(membership, world.subclouds.get(subcloudId) ?? {}, input));
    return Number.isFinite(due) ? due : null;
  };
  return {
    dueMs,
    isDue(node) {
      if (node.dueMs === null || node.dueMs > nowMs) return false;
      node.dueMs = dueMs(node);
      return node.dueMs !== null && node.dueMs <= nowMs;
    },
  };
}

/** The least age at which some policy takes a measured fact for unknown. */
export function smallestMaxAgeMs(world: World): number {
  return Math.min(...agesOf(world).maxAgesMs);
}

function agesOf({ subclouds }: World): {
  readonly maxAgesMs: ReadonlySet<number>;
  readonly auditAgesMs: ReadonlySet<number>;
} {
  const maxAgesMs = new Set([DEFAULT_MAX_AGE_MS]);
  const auditAgesMs = new Set<number>();
  for (const { policy } of subclouds.values()) {
    maxAgesMs.add(policy.maxAgeMs);
    for (const ageMs of policy.models.auditAgesMs) auditAgesMs.add(ageMs);
  }
  return { maxAgesMs, auditAgesMs };
}

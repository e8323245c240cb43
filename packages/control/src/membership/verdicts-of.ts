/** What the reconciler would say of a node now, for explaining: the same function over the same world, nothing stored. */
import { consentOf } from '../world/answers.ts';
import { bannedFrom } from '../world/bans.ts';
import { rulesFor } from '../world/isolation-rules.ts';
import { factsOf } from '../world/facts-of.ts';
import type { NodeRecord, World } from '../world/world.ts';
import { type ReconcileResult, reconcileNode } from './reconcile.ts';

/** `scope`: the Subclouds that are asked about; absent: all. */
export function verdictsOf(
  world: World,
  node: NodeRecord,
  nowMs: number,
  scope?: ReadonlySet<string>,
): ReconcileResult['verdicts'] {
  return reconcileNode({
    node: {
      id: node.id,
      operator: node.operator,
      consent: consentOf(world, node),
      facts: factsOf(world, node),
    },
    memberships: node.memberships,
    banned: bannedFrom(world, node),
    subclouds: world.subclouds.values(),
    ...(scope === undefined ? {} : { scope }),
    nowMs,
    isolation: rulesFor(world, node.id),
    absenceCounts: true,
  }).verdicts;
}

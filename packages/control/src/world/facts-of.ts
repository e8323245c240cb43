/** The facts of a node as policies read them; one object for as long as nothing of them changes. */
import type { NodeFacts } from '@subcloud/policy/facts';
import { type NodeRecord, type World, isOnline } from './world.ts';

export function factsOf(world: World, node: NodeRecord): NodeFacts {
  const lastSeenAt = isOnline(world, node.id) ? null : (node.lastSeenAtMs ?? node.enrolledAtMs);
  const { id: nodeId, operator, claims, confirmedAtMs: confirmedAt, facts: known } = node;
  if (known?.claims === claims && known.lastSeenAt === lastSeenAt && known.confirmedAt === confirmedAt) return known;
  const facts: NodeFacts = { nodeId, operator, claims, lastSeenAt, confirmedAt };
  node.facts = facts;
  return facts;
}

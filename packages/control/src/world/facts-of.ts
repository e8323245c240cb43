/** The facts of a node as policies read them; one object for as long as nothing of them changes, so that its index is made once. */
import type { NodeFacts } from '@subcloud/policy/facts';
import { type NodeRecord, type World, isOnline } from './world.ts';

export function factsOf(world: World, node: NodeRecord): NodeFacts {
  const lastSeenAt = isOnline(world, node.id) ? null : (node.lastSeenAtMs ?? node.enrolledAtMs);
  const known = node.facts;
  if (known !== undefined && known.claims === node.claims && known.lastSeenAt === lastSeenAt) return known;
  const facts: NodeFacts = { nodeId: node.id, operator: node.operator, claims: node.claims, lastSeenAt };
  node.facts = facts;
  return facts;
}

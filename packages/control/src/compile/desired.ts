/** What memberships want the table and the node document to say of one node. */
import { type Isolation, NO_CONSENT, shareOf } from '@subcloud/policy/consent';
import { cuts } from '../membership/reconcile.ts';
import type { NodeRecord, World } from '../world/world.ts';
import { acceptedFor } from '../world/answers.ts';
import { type DesiredMember, drainingOf } from './sequence.ts';

/** By pool name. Pure. */
export function desiredOf(world: World, node: NodeRecord): Map<string, DesiredMember> {
  const desired = new Map<string, DesiredMember>();
  const asksRule = typeof (node.consent ?? NO_CONSENT).autoJoin === 'object';
  for (const [subcloudId, membership] of node.memberships) {
    const subcloud = world.subclouds.get(subcloudId);
    if (subcloud === undefined) continue;
    const { name, revision, owner, isolation, labels, allows } = subcloud;
    const terms = {
      revision,
      owner,
      isolation,
      ...(subcloud.policy.models.isPrivate ? { private: true as const } : {}),
      ...(acceptedFor(node, subcloudId) === undefined ? {} : { accepted: acceptedFor(node, subcloudId) }),
      ...(asksRule && owner !== null ? { labels, allows } : {}),
    };
    const admitted = node.admitted.get(subcloudId);
    if (membership.state === 'active') {
      const share = shareOf(node.consent ?? NO_CONSENT, name);
      if (admitted !== undefined)
        desired.set(name, { ...terms, ...admitted, ...(share === undefined ? {} : { share }) });
    } else if (membership.state === 'draining' || cuts(membership)) {
      desired.set(name, {
        ...terms,
        models: [],
        validUntil: null,
        ...(membership.state === 'draining' ? { draining: true as const } : {}),
        ...(cuts(membership) ? { cut: true as const } : {}),
      });
    }
  }
  return desired;
}

/** Names of pools that the node is leaving and in which, by its agent, nothing is in flight. */
export function drainedOf({ document, drained }: NodeRecord): ReadonlySet<string> {
  // Said of another document it may be old news of an earlier membership.
  if (document === undefined || drained.serial !== document.serial || drained.pools.length === 0) return NONE;
  const draining = drainingOf(document);
  return new Set(drained.pools.filter((pool) => draining.includes(pool)));
}

/** By name of a pool, the isolation at which the newest document has it; undefined where no document is known, as after a restore. */
export function agreedOf({ document }: NodeRecord): ReadonlyMap<string, Isolation> | undefined {
  if (document === undefined) return undefined;
  const agreed = new Map<string, Isolation>();
  for (const pool of document.content.keys()) {
    const isolation = document.terms.get(pool)?.split(' ')[1];
    if (isolation === 'shared' || isolation === 'isolate' || isolation === 'exclusive') agreed.set(pool, isolation);
  }
  return agreed;
}

const NONE: ReadonlySet<string> = new Set();

/**
 * The share of the network's nodes that isolating Subclouds may take by auto-join. One node at a time knows only whether
 * it counts, wants to count, or neither; who of those who want is let in is decided over the whole fleet (`share.ts` of
 * the pass), in the order of the nodes' ids. A node whose operator owns the Subcloud or named it does not count. Pure.
 */
import { consentsByName } from '@subcloud/policy/consent';
import {
  type Membership,
  type ReconcileInput,
  type SubcloudPolicy,
  type Verdict,
  holds,
  holdsIsolation,
  isolates,
} from './membership.ts';
import type { SubcloudList } from './subcloud-list.ts';
import { SHARE_TAKEN, nextMembership } from './next-membership.ts';

/** `counts`: auto-join has taken the node out of other pools. `wants`: it would, if the share were not taken. */
export type Share = 'counts' | 'wants' | 'none';

export function shareOf(
  input: ReconcileInput,
  list: SubcloudList,
  /** As they become, while the Subclouds are settled one after the other. */
  memberships: ReadonlyMap<string, Membership>,
): {
  judged: (subcloud: SubcloudPolicy, stored: Membership | undefined, verdict: Verdict) => Verdict;
  result: () => Share;
} {
  const { node, isolation } = input;
  let wants = false;
  const takesItself = ({ name, owner, isolation: taken }: SubcloudPolicy): boolean =>
    owner !== null && owner !== node.operator && !consentsByName(node.consent, { name, owner, isolation: taken });
  const counts = (): boolean => {
    for (const [id, membership] of memberships) {
      const subcloud = list.sharing(id)?.subcloud;
      if (subcloud !== undefined && holdsIsolation(subcloud, membership) && takesItself(subcloud)) return true;
    }
    return false;
  };

  return {
    judged(subcloud, stored, verdict) {
      if (isolation === undefined || isolation.mayTake || verdict.reason !== 'joined' || !isolates(subcloud))
        return verdict;
      if (!takesItself(subcloud) || (stored !== undefined && holds(stored))) return verdict;
      // Who would not join anyhow, for the time being, wants nothing.
      if (nextMembership(input, subcloud, stored, verdict)?.state !== 'active' || counts()) return verdict;
      wants = true;
      return { ...verdict, reason: SHARE_TAKEN };
    },
    result: () => (counts() ? 'counts' : wants ? 'wants' : 'none'),
  };
}

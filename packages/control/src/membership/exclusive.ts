/**
 * Who has a node for itself. An exclusive Subcloud takes a node only on the operator's yes that names it, or, where owner
 * and operator are the same, on its assignment; and only the yes by name ends what the node is in elsewhere. Two that want
 * the same node: the earlier `activeSince`, then the lower id; a yes by name never displaces another exclusive Subcloud
 * that the operator still permits. Pure.
 */
import { consentsByName } from '@subcloud/policy/consent';
import {
  type Membership,
  type ReconcileInput,
  type SubcloudPolicy,
  TOOK_MORE,
  type Verdict,
  holds,
} from './membership.ts';

export interface ClaimQuestions {
  /** What is so of an exclusive Subcloud where nobody else is in the way. */
  readonly judge: (subcloud: SubcloudPolicy, stored: Membership | undefined) => Verdict;
  readonly next: (subcloud: SubcloudPolicy, stored: Membership | undefined, verdict: Verdict) => Membership | null;
}

/** Exclusive Subclouds that have, or may get, a say about this node, in the order in which they win it. */
export function contenders(
  { memberships, node, nowMs }: Pick<ReconcileInput, 'memberships' | 'node' | 'nowMs'>,
  subclouds: readonly SubcloudPolicy[],
): readonly SubcloudPolicy[] {
  const concerned = subclouds.filter((subcloud) => {
    const { state, reason } = memberships.get(subcloud.id) ?? {};
    if (reason === TOOK_MORE) return false;
    if (state !== undefined && state !== 'left' && state !== 'removed' && state !== 'banned') return true;
    const { name, owner } = subcloud;
    return owner !== null && consentsByName(node.consent, { name, owner, isolation: 'exclusive' });
  });
  const since = ({ id }: SubcloudPolicy): number => {
    const stored = memberships.get(id);
    return stored !== undefined && holds(stored) ? (stored.activeSinceMs ?? nowMs) : Number.POSITIVE_INFINITY;
  };
  return concerned.sort((a, b) => {
    const [first, second] = [since(a), since(b)];
    return first === second ? (a.id < b.id ? -1 : 1) : first - second;
  });
}

/**
 * `isElsewhere`: others, that are not exclusive, hold the node. The one that has the node, or gets it as soon as it has left everything else; undefined: nobody. One that is leaving for
 * want of the operator's yes still has it, but comes after those that have the yes.
 */
export function claimant(
  input: ReconcileInput,
  contending: readonly SubcloudPolicy[],
  isElsewhere: boolean,
  { judge, next }: ClaimQuestions,
): SubcloudPolicy | undefined {
  const able = contending.filter((subcloud) => {
    const stored = input.memberships.get(subcloud.id);
    const verdict = judge(subcloud, stored);
    const has = stored !== undefined && holds(stored);
    if (!has && !verdict.asks && isElsewhere) return false;
    const after = next(subcloud, stored, verdict);
    return after !== null && holds(after);
  });
  return able.find((subcloud) => judge(subcloud, input.memberships.get(subcloud.id)).permits) ?? able[0];
}

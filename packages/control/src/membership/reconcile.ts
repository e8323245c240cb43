/**
 * The reconciler: stored memberships, facts, policies, consents and the time in, memberships out. Level-triggered and
 * pure: run at any time, twice, in full or for one node, it comes to the same result, so one pass is a fixpoint.
 *
 * One node is reconciled at a time. First it is found who has the node for itself (exclusive.ts): all others leave then.
 * Then come the Subclouds that keep models to themselves, in the order in which they win a model that two of them want;
 * then the others, in any order; then `global`, which is reconciled like an open, auto-joining, shared Subcloud and has no
 * row while a Subcloud holds the node; and at last the one that has the node for itself, once it has left all the rest.
 */
import { nextChangeMs } from '@subcloud/policy/facts';
import {
  type Membership,
  type ReconcileInput,
  type SubcloudPolicy,
  type Verdict,
  holds,
  holdsIsolation,
  isolates,
} from './membership.ts';
import { type ClaimQuestions, claimant, contenders } from './exclusive.ts';
import { type Share, shareOf } from './isolation-share.ts';
import { type Keeper, judge, namesOf } from './judge.ts';
import { type Listed, SubcloudList } from './subcloud-list.ts';
import { HELD_ELSEWHERE, IN_OTHERS, LEAVING_OTHERS, membershipDueMs, nextMembership } from './next-membership.ts';

export {
  DRAIN_TIMEOUT_MS,
  INVITATION_VALID_MS,
  OFFLINE_AT_MOST_MS,
  SUSPENDED_AT_MOST_MS,
  cuts,
  holds,
} from './membership.ts';
export type { IsolationRules, Membership, NodeState, ReconcileInput, SubcloudPolicy, Verdict } from './membership.ts';
export type { Share } from './isolation-share.ts';

export interface MembershipChange {
  readonly subcloudId: string;
  readonly from: Membership | null;
  readonly to: Membership | null;
}

export interface ReconcileResult {
  readonly memberships: ReadonlyMap<string, Membership>;
  readonly changes: readonly MembershipChange[];
  /** Of the Subclouds that were decided. */
  readonly verdicts: ReadonlyMap<string, Verdict>;
  /** When to look again even if nothing happens, ms; null: never by time alone. */
  readonly dueMs: number | null;
  readonly share: Share;
}

/** The memberships of one node. Pure and total. */
export function reconcileNode(input: ReconcileInput): ReconcileResult {
  return reconcileWith(input, null);
}

/** `decided`: the exclusive Subcloud that is known to get the node; null: still to be found. */
function reconcileWith(input: ReconcileInput, decided: SubcloudPolicy | null): ReconcileResult {
  const memberships = new Map(input.memberships);
  const verdicts = new Map<string, Verdict>();
  const changes: MembershipChange[] = [];
  const list = SubcloudList.of(input.subclouds);
  const { global, exclusives } = list;
  const admission = list.policies.about(input.node.facts, input.nowMs);
  let dueMs: number | null = null;
  const dueAt = (atMs: number | null): void => {
    if (atMs !== null) dueMs = dueMs === null ? atMs : Math.min(dueMs, atMs);
  };
  // Every claim counts, not only those that a decision rests on: one that contradicts them may expire first.
  for (const maxAgeMs of list.maxAgesMs) {
    dueAt(nextChangeMs(input.node.facts, { maxAgeMs, auditAgesMs: list.auditAgesMs, now: input.nowMs }));
  }

  const settle = (subcloud: SubcloudPolicy, before: Membership | undefined, verdict: Verdict, ends = false): void => {
    const next = ends ? null : nextMembership(input, subcloud, before, verdict);
    settled(subcloud, before ?? null, next, verdict);
  };
  const settled = (
    subcloud: SubcloudPolicy,
    before: Membership | null,
    next: Membership | null,
    verdict: Verdict,
  ): void => {
    const reason = reasonOf(next, verdict);
    const said = reason === verdict.reason ? verdict : { ...verdict, reason };
    if (input.judged === undefined) verdicts.set(subcloud.id, said);
    else input.judged(subcloud, said, next);
    if (next === null && before === null) return;
    if (!same(before, next)) changes.push({ subcloudId: subcloud.id, from: before, to: next });
    if (next === null) memberships.delete(subcloud.id);
    else {
      memberships.set(subcloud.id, next);
      dueAt(membershipDueMs(next, subcloud, input));
    }
  };
  const isHolding = ({ id }: SubcloudPolicy): boolean => {
    const now = memberships.get(id);
    return now !== undefined && holds(now);
  };
  const judgeHere = (listed: Listed, kept: readonly Keeper[]): Verdict =>
    judge(input, listed, memberships.get(listed.subcloud.id), kept, admission);
  const judgeOf = (subcloud: SubcloudPolicy, stored: Membership | undefined): Verdict =>
    judge(input, listedOf(list, subcloud), stored, [], admission);

  const contending = contenders(input, exclusives);
  const scope = decidesAll(input, list, contending) ? undefined : input.scope;
  const claim = decided ?? claimant(input, contending, isHeld(list, memberships), questionsAbout(input, judgeOf));

  const said = claim === undefined ? undefined : judgeOf(claim, memberships.get(claim.id));
  // Only a yes by name ends what the node is in; who has lost the yes, or had it for less, just keeps others from joining.
  const displaces = said !== undefined && said.permits && said.asks;
  const hindered = (verdict: Verdict, stored: Membership | undefined, ends = displaces): Verdict => {
    if (ends) return displaced(verdict);
    return stored?.state === 'active' || stored?.state === 'suspended' ? verdict : waiting(verdict, HELD_ELSEWHERE);
  };

  const kept: Keeper[] = [];
  const share = shareOf(input, list, memberships);
  for (const listed of inOrder(list, input, scope)) {
    const { subcloud } = listed;
    const stored = memberships.get(subcloud.id);
    if (scope?.has(subcloud.id) === false) {
      if (stored !== undefined) dueAt(membershipDueMs(stored, subcloud, input));
    } else {
      const judged = judge(input, listed, stored, kept, admission);
      settle(subcloud, stored, claim === undefined ? share.judged(subcloud, stored, judged) : hindered(judged, stored));
    }
    if (subcloud.policy.models.isPrivate && isHolding(subcloud)) kept.push(namesOf(subcloud));
  }
  for (const subcloud of exclusives) {
    if (subcloud === claim || scope?.has(subcloud.id) === false) continue;
    const stored = memberships.get(subcloud.id);
    const judged = judgeOf(subcloud, stored);
    const verdict =
      claim !== undefined ? hindered(judged, stored) : isHeld(list, memberships) ? waiting(judged, IN_OTHERS) : judged;
    const next = nextMembership(input, subcloud, stored, verdict);
    // What was in its way has just ended by itself: the others are judged again, knowing that.
    if (claim === undefined && next !== null && holdsIsolation(subcloud, next)) return reconcileWith(input, subcloud);
    settled(subcloud, stored ?? null, next, verdict);
  }
  endWithSubclouds(input, list, memberships, changes);

  if (global !== undefined) {
    const stored = memberships.get(global.subcloud.id);
    const verdict = judgeHere(global, kept);
    if (claim !== undefined) {
      const ends = said?.permits === true;
      const held = hindered(verdict, stored, ends);
      const next = stored === undefined ? null : nextMembership(input, global.subcloud, stored, held);
      // Who only keeps others from joining does not let the node back either that another isolates meanwhile.
      const stays =
        next?.state === 'draining' || (!ends && next !== null && !isHeld(list, memberships, holdsIsolation));
      settled(global.subcloud, stored ?? null, stays ? next : null, stays ? held : { ...held, reason: HELD_ELSEWHERE });
    } else if (isHeld(list, memberships, holdsIsolation))
      settle(global.subcloud, stored, { ...verdict, reason: HELD_ELSEWHERE }, true);
    else settle(global.subcloud, stored, verdict);
  }
  if (claim !== undefined) {
    const isElsewhere = isHeld(list, memberships) || exclusives.some((other) => other !== claim && isHolding(other));
    const isGlobal = global !== undefined && memberships.has(global.subcloud.id);
    const stored = memberships.get(claim.id);
    const judged = judgeOf(claim, stored);
    const verdict =
      isElsewhere || isGlobal ? waiting(judged, isElsewhere && !displaces ? IN_OTHERS : LEAVING_OTHERS) : judged;
    settle(claim, stored, verdict);
  }
  return { memberships, changes, verdicts, dueMs, share: share.result() };
}

/** Of `claimant`: an exclusive Subcloud as it stands where nobody else is in the way. */
function questionsAbout(input: ReconcileInput, judgeOf: ClaimQuestions['judge']): ClaimQuestions {
  return { judge: judgeOf, next: (subcloud, stored, verdict) => nextMembership(input, subcloud, stored, verdict) };
}

function listedOf(list: SubcloudList, { id }: SubcloudPolicy): Listed {
  const listed = list.get(id);
  if (listed === undefined) throw new RangeError('a Subcloud that is not in the list');
  return listed;
}

/** Whether a Subcloud that shares its nodes (and is such a one) holds the node. */
function isHeld(
  list: SubcloudList,
  memberships: ReadonlyMap<string, Membership>,
  isSuch: (subcloud: SubcloudPolicy, membership: Membership) => boolean = () => true,
): boolean {
  for (const [id, membership] of memberships) {
    const subcloud = holds(membership) ? list.sharing(id)?.subcloud : undefined;
    if (subcloud !== undefined && isSuch(subcloud, membership)) return true;
  }
  return false;
}

function displaced(verdict: Verdict): Verdict {
  return { ...waiting(verdict, HELD_ELSEWHERE), displaced: true };
}

/** Nothing is wrong with the node, but it does not join. */
function waiting(verdict: Verdict, reason: string): Verdict {
  return verdict.reason === 'joined' ? { ...verdict, reason } : verdict;
}

/** A membership of a Subcloud that is gone ends with it, whatever the order in which the two were stored. */
function endWithSubclouds(
  { nowMs }: ReconcileInput,
  list: SubcloudList,
  memberships: Map<string, Membership>,
  changes: MembershipChange[],
): void {
  for (const [subcloudId, membership] of memberships) {
    if (list.get(subcloudId) !== undefined || isOver(membership)) continue;
    const ended: Membership = {
      ...membership,
      state: 'removed',
      reason: 'subcloud deleted',
      sinceMs: nowMs,
      assigned: false,
      cooldownFromMs: membership.activeSinceMs === null ? membership.cooldownFromMs : nowMs,
      drainsTo: null,
    };
    changes.push({ subcloudId, from: membership, to: ended });
    memberships.set(subcloudId, ended);
  }
}

function isOver({ state }: Membership): boolean {
  return state === 'removed' || state === 'left' || state === 'banned';
}

/**
 * Those that share their nodes, in the order in which they are settled: what keeps models to itself (the earlier
 * `activeSince` first, then by id; who would join comes after all who hold the node, also of the same moment), then what isolates and has the node, since it may
 * count already for the share that auto-join may take, then the others. Of a scope: what is in it or has a membership.
 */
function inOrder(
  list: SubcloudList,
  { memberships }: ReconcileInput,
  scope: ReadonlySet<string> | undefined,
): readonly Listed[] {
  const heldFromMs = ({ subcloud: { id } }: Listed): number => {
    const stored = memberships.get(id);
    return stored !== undefined && holds(stored) ? (stored.activeSinceMs ?? Infinity) : Infinity;
  };
  const isKeeper = ({ subcloud }: Listed): boolean => subcloud.policy.models.isPrivate;
  const members = [...memberships.keys()].flatMap((id) => list.sharing(id) ?? []);
  const among =
    scope === undefined
      ? undefined
      : [...new Set([...members, ...[...scope].flatMap((id) => list.sharing(id) ?? [])])].sort((a, b) => a.at - b.at);
  const keepers = among?.filter(isKeeper) ?? list.keepers;
  const isHolder = (listed: Listed): boolean => {
    const stored = memberships.get(listed.subcloud.id);
    return !isKeeper(listed) && isolates(listed.subcloud) && stored !== undefined && holds(stored);
  };
  const holders = members.filter(isHolder).sort((a, b) => a.at - b.at);
  const others = among?.filter((listed) => !isKeeper(listed)) ?? list.plain;
  if (keepers.length === 0 && holders.length === 0) return others;
  return [
    ...keepers.toSorted((a, b) => heldFromMs(a) - heldFromMs(b) || (a.subcloud.id < b.subcloud.id ? -1 : 1)),
    ...holders,
    ...others.filter((listed) => !holders.includes(listed)),
  ];
}

function decidesAll(
  { scope, memberships }: ReconcileInput,
  { keepers }: SubcloudList,
  contending: readonly SubcloudPolicy[],
): boolean {
  if (scope === undefined || contending.length > 0) return true;
  return keepers.some(({ subcloud: { id } }) => {
    const stored = memberships.get(id);
    return scope.has(id) || (stored !== undefined && holds(stored));
  });
}

/** Why the node is not in, in the words that are counted. */
function reasonOf(next: Membership | null, { permits, reason }: Verdict): string {
  if (next === null) return reason;
  // Not to be taken for a node that its operator has drained, which leaves nothing.
  if (next.state === 'draining') return 'leaving';
  if (next.state !== 'left') return next.reason;
  // Where nothing is in the way but the time.
  if (!permits || reason !== 'joined') return reason;
  return next.reason === 'offline' || next.cooldownFromMs === null ? next.reason : 'cooldown';
}

function same(a: Membership | null, b: Membership | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.state === b.state &&
    a.reason === b.reason &&
    a.sinceMs === b.sinceMs &&
    a.activeSinceMs === b.activeSinceMs &&
    a.assigned === b.assigned &&
    a.cooldownFromMs === b.cooldownFromMs &&
    a.drainsTo === b.drainsTo
  );
}

/**
 * The reconciler: stored memberships, facts, policies, consents and the time in, memberships out. Level-triggered and
 * pure: run at any time, twice, in full or for one node, it comes to the same result, so one pass is a fixpoint.
 *
 * One node is reconciled at a time. First it is found who has the node for itself (exclusive.ts): all others leave then.
 * Then come the Subclouds that keep models to themselves, in the order in which they win a model that two of them want;
 * then the others, in any order; then `global`, which is reconciled like an open, auto-joining, shared Subcloud and has no
 * row while a Subcloud holds the node; and at last the one that has the node for itself, once it has left all the rest.
 */
import {
  type ConsentQuestion,
  consentsByName,
  consentsToAutoJoin,
  offersModel,
  refuses,
} from '@subcloud/policy/consent';
import { type Admission, admits } from '@subcloud/policy/decide';
import { nextChangeMs } from '@subcloud/policy/facts';
import { DEFAULT_MAX_AGE_MS } from '@subcloud/policy/manifest';
import { compileGlob } from '@subcloud/policy/glob';
import type { PrincipalId } from '@subcloud/policy/principal';
import {
  BANNED,
  type Membership,
  type ReconcileInput,
  type SubcloudPolicy,
  type Verdict,
  hasExpired,
  holds,
  isolates,
  presence,
} from './membership.ts';
import { type ClaimQuestions, claimant, contenders } from './exclusive.ts';
import { type Share, shareOf } from './isolation-share.ts';
import {
  HELD_ELSEWHERE,
  IN_OTHERS,
  LEAVING_OTHERS,
  NOT_ALLOWED,
  membershipDueMs,
  nextMembership,
} from './next-membership.ts';

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
  const { known, global, keepers, others, exclusives, maxAgesMs, auditAgesMs } = sortOut(input);
  const sharing = [...keepers, ...others];
  let dueMs: number | null = null;
  const dueAt = (atMs: number | null): void => {
    if (atMs !== null) dueMs = dueMs === null ? atMs : Math.min(dueMs, atMs);
  };
  // Every claim counts, not only those that a decision rests on: one that contradicts them may expire first.
  for (const maxAgeMs of maxAgesMs) {
    dueAt(nextChangeMs(input.node.facts, { maxAgeMs, auditAgesMs: [...auditAgesMs], now: input.nowMs }));
  }

  const settle = (subcloud: SubcloudPolicy, next: Membership | null, verdict: Verdict): void => {
    const before = memberships.get(subcloud.id) ?? null;
    verdicts.set(subcloud.id, { ...verdict, reason: reasonOf(next, verdict) });
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

  const contending = contenders(input, exclusives);
  const scope = decidesAll(input, keepers, contending) ? undefined : input.scope;
  const claim = decided ?? claimant(input, contending, sharing, questionsAbout(input));

  const said = claim === undefined ? undefined : judge(input, claim, memberships.get(claim.id), []);
  // Only a yes by name ends what the node is in; who has lost the yes, or had it for less, just keeps others from joining.
  const displaces = said !== undefined && said.permits && said.asks;
  const hindered = (verdict: Verdict, stored: Membership | undefined, ends = displaces): Verdict => {
    if (ends) return displaced(verdict);
    return stored?.state === 'active' || stored?.state === 'suspended' ? verdict : waiting(verdict, HELD_ELSEWHERE);
  };

  const kept: Keeper[] = [];
  const share = shareOf(input, sharing, memberships);
  for (const subcloud of sharing) {
    const stored = memberships.get(subcloud.id);
    if (scope?.has(subcloud.id) === false) {
      if (stored !== undefined) dueAt(membershipDueMs(stored, subcloud, input));
    } else {
      const judged = judge(input, subcloud, stored, kept);
      const verdict = claim === undefined ? share.judged(subcloud, stored, judged) : hindered(judged, stored);
      settle(subcloud, nextMembership(input, subcloud, stored, verdict), verdict);
    }
    if (isHolding(subcloud) && subcloud.policy.models.isPrivate) kept.push(namesOf(subcloud));
  }
  for (const subcloud of exclusives) {
    if (subcloud === claim || scope?.has(subcloud.id) === false) continue;
    const stored = memberships.get(subcloud.id);
    const judged = judge(input, subcloud, stored, []);
    const verdict =
      claim !== undefined ? hindered(judged, stored) : sharing.some(isHolding) ? waiting(judged, IN_OTHERS) : judged;
    const next = nextMembership(input, subcloud, stored, verdict);
    // What was in its way has just ended by itself: the others are judged again, knowing that.
    if (claim === undefined && next !== null && holds(next)) return reconcileWith(input, subcloud);
    settle(subcloud, next, verdict);
  }
  endWithSubclouds(input, known, memberships, changes);

  if (global !== undefined) {
    const stored = memberships.get(global.id);
    const verdict = judge(input, global, stored, kept);
    if (claim !== undefined) {
      const ends = said?.permits === true;
      const held = hindered(verdict, stored, ends);
      const next = stored === undefined ? null : nextMembership(input, global, stored, held);
      const stays = next?.state === 'draining' || (!ends && next !== null);
      settle(global, stays ? next : null, stays ? held : { ...held, reason: HELD_ELSEWHERE });
    } else if (sharing.some((subcloud) => isolates(subcloud) && isHolding(subcloud)))
      settle(global, null, { ...verdict, reason: HELD_ELSEWHERE });
    else settle(global, nextMembership(input, global, stored, verdict), verdict);
  }
  if (claim !== undefined) {
    const isElsewhere = [...sharing, ...exclusives].some((other) => other !== claim && isHolding(other));
    const isGlobal = global !== undefined && memberships.has(global.id);
    const stored = memberships.get(claim.id);
    const judged = judge(input, claim, stored, []);
    const verdict =
      isElsewhere || isGlobal ? waiting(judged, isElsewhere && !displaces ? IN_OTHERS : LEAVING_OTHERS) : judged;
    settle(claim, nextMembership(input, claim, stored, verdict), verdict);
  }
  return { memberships, changes, verdicts, dueMs, share: share.result() };
}

/** Of `claimant`: an exclusive Subcloud as it stands where nobody else is in the way. */
function questionsAbout(input: ReconcileInput): ClaimQuestions {
  return {
    judge: (subcloud, stored) => judge(input, subcloud, stored, []),
    next: (subcloud, stored, verdict) => nextMembership(input, subcloud, stored, verdict),
  };
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
  known: ReadonlySet<string>,
  memberships: Map<string, Membership>,
  changes: MembershipChange[],
): void {
  for (const [subcloudId, membership] of memberships) {
    if (known.has(subcloudId) || isOver(membership)) continue;
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

interface SortedOut {
  readonly known: ReadonlySet<string>;
  readonly global: SubcloudPolicy | undefined;
  /** Those that keep models to themselves: the earlier `activeSince` first, then by id; who would join now comes as of now. */
  readonly keepers: readonly SubcloudPolicy[];
  /** What isolates and has the node comes first: it may count already for the share that auto-join may take. */
  readonly others: readonly SubcloudPolicy[];
  /** By id. What others keep does not concern them: the node is theirs alone or not at all. */
  readonly exclusives: readonly SubcloudPolicy[];
  readonly maxAgesMs: ReadonlySet<number>;
  readonly auditAgesMs: ReadonlySet<number>;
}

function sortOut({ subclouds, memberships, nowMs }: ReconcileInput): SortedOut {
  const known = new Set<string>();
  const keepers: SubcloudPolicy[] = [];
  const holders: SubcloudPolicy[] = [];
  const others: SubcloudPolicy[] = [];
  const exclusives: SubcloudPolicy[] = [];
  const isHolder = ({ id }: SubcloudPolicy): boolean => {
    const stored = memberships.get(id);
    return stored !== undefined && holds(stored);
  };
  const maxAgesMs = new Set([DEFAULT_MAX_AGE_MS]);
  const auditAgesMs = new Set<number>();
  let global: SubcloudPolicy | undefined;
  for (const subcloud of subclouds) {
    known.add(subcloud.id);
    maxAgesMs.add(subcloud.policy.maxAgeMs);
    for (const ageMs of subcloud.policy.models.auditAgesMs) auditAgesMs.add(ageMs);
    if (subcloud.owner === null) global = subcloud;
    else if (subcloud.isolation === 'exclusive') exclusives.push(subcloud);
    else if (subcloud.policy.models.isPrivate) keepers.push(subcloud);
    else if (isolates(subcloud) && isHolder(subcloud)) holders.push(subcloud);
    else others.push(subcloud);
  }
  const heldFromMs = ({ id }: SubcloudPolicy): number => {
    const stored = memberships.get(id);
    return stored !== undefined && holds(stored) ? (stored.activeSinceMs ?? nowMs) : nowMs;
  };
  keepers.sort((a, b) => heldFromMs(a) - heldFromMs(b) || (a.id < b.id ? -1 : 1));
  exclusives.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { known, global, keepers, others: [...holders, ...others], exclusives, maxAgesMs, auditAgesMs };
}

/** What one that keeps models, or the node, to itself has or may get, changes what all others may offer. */
function decidesAll(
  { scope, memberships }: ReconcileInput,
  keepers: readonly SubcloudPolicy[],
  contending: readonly SubcloudPolicy[],
): boolean {
  if (scope === undefined || contending.length > 0) return true;
  return keepers.some(({ id }) => {
    const stored = memberships.get(id);
    return scope.has(id) || (stored !== undefined && holds(stored));
  });
}

/** Whether the list of one that keeps its models names this id, whatever is known of the weights. */
type Keeper = (id: string) => boolean;
const keeperOf = new WeakMap<readonly string[], Keeper>();

function namesOf({ allows }: SubcloudPolicy): Keeper {
  if (allows === undefined) return () => true;
  const known = keeperOf.get(allows);
  if (known !== undefined) return known;
  const globs = allows.map(compileGlob);
  const names: Keeper = (id) => globs.some((matches) => matches(id));
  keeperOf.set(allows, names);
  return names;
}

function judge(
  input: ReconcileInput,
  subcloud: SubcloudPolicy,
  stored: Membership | undefined,
  kept: readonly Keeper[],
): Verdict {
  const { node } = input;
  const admission = admits(subcloud.policy, node.facts, input.nowMs);
  const { decision, without } = offered(admission, input, subcloud, kept);
  const because = without ?? decision.failing ?? presence(input);
  const { owner } = subcloud;
  if (owner === null) {
    const banned = input.banned?.has(subcloud.id) === true;
    const permits = node.consent.global && !banned;
    const reason = permits ? because : banned ? BANNED : 'consent';
    return { decision, permits, asks: false, refused: false, overreaches: false, displaced: false, reason };
  }
  const question = questionOf(subcloud, owner);
  const assigned = isAssigned(stored, input.nowMs);
  const { mode } = subcloud.participation;
  const refused = refuses(node.consent, subcloud.name);
  const takesItself = mode !== 'private' && subcloud.participation.autoJoin;
  // What joins an open Subcloud by itself asks a semi-open one by itself, while it is eligible.
  const filed = mode === 'semi-open' && takesItself && (because === 'joined' || stored?.state === 'requested');
  const asks = consentsByName(node.consent, question) || (filed && consentsToAutoJoin(node.consent, question));
  const permitted = (asked: ConsentQuestion): boolean =>
    consentsByName(node.consent, asked) || (takesItself && consentsToAutoJoin(node.consent, asked));
  const banned = input.banned?.has(subcloud.id) === true;
  const permits = !refused && !banned && (permitted(question) || (assigned && node.operator === owner));
  const overreaches = !permits && permitted({ ...question, isolation: 'shared', private: false });
  const mayIsolate =
    !isolates(subcloud) || (stored !== undefined && holds(stored)) || input.isolation?.allows(owner) !== false;
  const reason = banned
    ? BANNED
    : mode === 'private' && !assigned
      ? 'not invited'
      : !permits
        ? 'consent'
        : !mayIsolate
          ? NOT_ALLOWED
          : because === 'joined' && mode === 'semi-open' && !assigned && !isStaked(subcloud, input)
            ? 'approval'
            : because;
  return { decision, permits, asks, refused, overreaches, displaced: false, reason };
}

/** Whether a stake that somebody attests lets the node in without approval. */
function isStaked({ stakes = [] }: SubcloudPolicy, { node, nowMs }: ReconcileInput): boolean {
  return stakes.some((stake) => admits(stake, node.facts, nowMs).eligible);
}

/** What the operator is asked about this Subcloud. */
export function questionOf(subcloud: SubcloudPolicy, owner: PrincipalId): ConsentQuestion {
  const { name, isolation, labels, allows, policy } = subcloud;
  return { name, owner, isolation, private: policy.models.isPrivate, labels: labels ?? {}, models: allows };
}

function isAssigned(stored: Membership | undefined, nowMs: number): boolean {
  if (stored === undefined || !stored.assigned || hasExpired(stored, nowMs)) return false;
  return stored.state !== 'left' && stored.state !== 'removed' && stored.state !== 'banned';
}

/** Less what the operator does not offer in this pool, and less what Subclouds keep that come before it. */
function offered(
  admission: Admission,
  { node }: ReconcileInput,
  { name }: SubcloudPolicy,
  kept: readonly Keeper[],
): { readonly decision: Admission; readonly without: 'consent' | 'private' | null } {
  const offers = offersModel(node.consent, name);
  if (!admission.eligible || (offers === null && kept.length === 0)) return { decision: admission, without: null };
  const permitted = offers === null ? admission.models : admission.models.filter(offers);
  const models = permitted.filter((model) => !kept.some((names) => names(model)));
  if (models.length > 0) return { decision: { ...admission, models }, without: null };
  return {
    decision: { eligible: false, models, failing: null },
    without: permitted.length === 0 ? 'consent' : 'private',
  };
}

/** Why the node is not in, in the words that are counted. */
function reasonOf(next: Membership | null, { permits, reason }: Verdict): string {
  if (next === null) return reason;
  if (next.state === 'draining') return 'draining';
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

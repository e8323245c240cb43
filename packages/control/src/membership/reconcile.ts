/**
 * The reconciler: stored memberships, facts, policies, consents and the time in, memberships out. Level-triggered and
 * pure: run at any time, twice, in full or for one node, it comes to the same result, so one pass is a fixpoint.
 *
 * One node is reconciled at a time. Subclouds first; then what they hold of the node; then `global`, which is reconciled
 * like an open, auto-joining, shared Subcloud and has no row while a Subcloud holds the node.
 */
import { type Consent, type Isolation, consentsByName, consentsToAutoJoin } from '@subcloud/policy/consent';
import { type CompiledPolicy, type Decision, decide, firstFailing } from '@subcloud/policy/decide';
import { type NodeFacts, nextChangeMs } from '@subcloud/policy/facts';
import { DEFAULT_MAX_AGE_MS } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { MembershipState } from '@subcloud/contract/routes/shapes';

export const INVITATION_VALID_MS = 7 * 86_400_000;
export const SUSPENDED_AT_MOST_MS = 7 * 86_400_000;
export const OFFLINE_AT_MOST_MS = 7 * 86_400_000;

export interface Membership {
  readonly state: MembershipState;
  readonly reason: string;
  readonly sinceMs: number;
  /** First became active in this membership; isolation is held from then until it ends. Null: never. */
  readonly activeSinceMs: number | null;
  /** The owner assigned or invited the node. */
  readonly assigned: boolean;
}

export interface SubcloudPolicy {
  readonly id: string;
  readonly name: string;
  /** Null for the global network. */
  readonly owner: PrincipalId | null;
  readonly participation: { readonly mode: 'open' | 'private'; readonly autoJoin: boolean };
  readonly isolation: Isolation;
  readonly policy: CompiledPolicy;
}

export interface NodeState {
  readonly id: string;
  readonly operator: PrincipalId;
  readonly consent: Consent;
  /** `lastSeenAt` is null while the node has a link. */
  readonly facts: NodeFacts;
}

export interface ReconcileInput {
  readonly node: NodeState;
  readonly memberships: ReadonlyMap<string, Membership>;
  /** All Subclouds that exist, and `global` as one of them (the one without an owner). */
  readonly subclouds: Iterable<SubcloudPolicy>;
  readonly nowMs: number;
  /** False until control has heard from the gateways after its start: absence alone changes nothing before. */
  readonly absenceCounts: boolean;
}

export interface Verdict {
  readonly decision: Decision;
  /** Whether operator and owner both say yes, and in what words. */
  readonly permits: boolean;
  /** Why the node is not an active member, or why it is: a clause's name, `consent`, `isolation`, `not invited`, `joined`, … */
  readonly reason: string;
}

export interface MembershipChange {
  readonly subcloudId: string;
  readonly from: Membership | null;
  readonly to: Membership | null;
}

export interface ReconcileResult {
  readonly memberships: ReadonlyMap<string, Membership>;
  readonly changes: readonly MembershipChange[];
  readonly verdicts: ReadonlyMap<string, Verdict>;
  /** When to look again even if nothing happens, ms; null: never by time alone. */
  readonly dueMs: number | null;
}

/** The memberships of one node. Pure and total. */
export function reconcileNode(input: ReconcileInput): ReconcileResult {
  const memberships = new Map(input.memberships);
  const verdicts = new Map<string, Verdict>();
  const changes: MembershipChange[] = [];
  const known = new Set<string>();
  let global: SubcloudPolicy | undefined;
  let heldBy: string | undefined;
  // Every claim counts, not only those that a decision rests on: one that contradicts them may expire first.
  let dueMs = nextChangeMs(input.node.facts, { maxAgeMs: DEFAULT_MAX_AGE_MS, now: input.nowMs });

  const settle = (subcloud: SubcloudPolicy, next: Membership | null, verdict: Verdict): void => {
    const before = memberships.get(subcloud.id) ?? null;
    verdicts.set(subcloud.id, verdict);
    if (!same(before, next)) changes.push({ subcloudId: subcloud.id, from: before, to: next });
    if (next === null) memberships.delete(subcloud.id);
    else memberships.set(subcloud.id, next);
    dueMs = earliest(dueMs, dueOf(next, input));
  };

  for (const subcloud of input.subclouds) {
    known.add(subcloud.id);
    if (subcloud.owner === null) {
      global = subcloud;
      continue;
    }
    const verdict = judge(input, subcloud, memberships.get(subcloud.id), subcloud.owner);
    const next = nextMembership(input, subcloud, memberships.get(subcloud.id), verdict);
    settle(subcloud, next, {
      ...verdict,
      reason: next !== null && next.state !== 'left' ? next.reason : verdict.reason,
    });
    if (subcloud.isolation !== 'shared' && next !== null && holds(next)) heldBy ??= subcloud.id;
  }
  // A membership of a Subcloud that is gone ends with it, whatever the order in which the two were stored.
  for (const [subcloudId, membership] of memberships) {
    if (known.has(subcloudId) || membership.state === 'removed' || membership.state === 'left') continue;
    const ended: Membership = {
      ...membership,
      state: 'removed',
      reason: 'subcloud deleted',
      sinceMs: input.nowMs,
      assigned: false,
    };
    changes.push({ subcloudId, from: membership, to: ended });
    memberships.set(subcloudId, ended);
  }
  if (global !== undefined) {
    const decision = decide(global.policy, input.node.facts, input.nowMs);
    const permits = input.node.consent.global;
    if (heldBy !== undefined) settle(global, null, { decision, permits, reason: 'isolation' });
    else {
      const verdict: Verdict = {
        decision,
        permits,
        reason: permits ? (firstFailing(decision) ?? presence(input)) : 'consent',
      };
      const next = nextMembership(input, global, memberships.get(global.id), verdict);
      settle(global, next, {
        ...verdict,
        reason: next !== null && next.state !== 'left' ? next.reason : verdict.reason,
      });
    }
  }
  return { memberships, changes, verdicts, dueMs };
}

/** Isolation is held from the first `active` until the membership ends, suspension included. */
export function holds(membership: Membership): boolean {
  return membership.activeSinceMs !== null && (membership.state === 'active' || membership.state === 'suspended');
}

function judge(
  input: ReconcileInput,
  subcloud: SubcloudPolicy,
  stored: Membership | undefined,
  owner: PrincipalId,
): Verdict {
  const { node } = input;
  const decision = decide(subcloud.policy, node.facts, input.nowMs);
  const question = { name: subcloud.name, owner, isolation: subcloud.isolation };
  const assigned =
    stored?.assigned === true &&
    stored.state !== 'left' &&
    stored.state !== 'removed' &&
    !invitationExpired(stored, input.nowMs);
  const open = subcloud.participation.mode === 'open';
  const permits =
    consentsByName(node.consent, question) ||
    (open && subcloud.participation.autoJoin && consentsToAutoJoin(node.consent, question)) ||
    (assigned && node.operator === owner);
  const ownerAdmits = open || assigned;
  const reason = !ownerAdmits ? 'not invited' : !permits ? 'consent' : (firstFailing(decision) ?? presence(input));
  return { decision, permits, reason };
}

/** Who was away for so long that its membership would end begins none. */
function presence({ node, nowMs, absenceCounts }: ReconcileInput): 'joined' | 'offline' {
  const { lastSeenAt } = node.facts;
  return absenceCounts && lastSeenAt !== null && nowMs - lastSeenAt >= OFFLINE_AT_MOST_MS ? 'offline' : 'joined';
}

function invitationExpired({ state, sinceMs }: Membership, nowMs: number): boolean {
  return state === 'invited' && nowMs - sinceMs >= INVITATION_VALID_MS;
}

/** The state table of the protocol for the states that are in force. */
function nextMembership(
  input: ReconcileInput,
  subcloud: SubcloudPolicy,
  stored: Membership | undefined,
  verdict: Verdict,
): Membership | null {
  const { nowMs } = input;
  const admitted = verdict.permits && verdict.reason === 'joined';
  const move = (state: MembershipState, reason: string, more: Partial<Membership> = {}): Membership => {
    const base: Membership = stored ?? { state, reason, sinceMs: nowMs, activeSinceMs: null, assigned: false };
    return { ...base, ...more, state, reason, sinceMs: stored?.state === state ? base.sinceMs : nowMs };
  };
  const ended = (reason: string): Membership => move('left', reason, { assigned: false });
  switch (stored?.state) {
    case undefined:
      return admitted ? move('active', 'joined', { activeSinceMs: nowMs }) : null;
    case 'invited': {
      const expired = invitationExpired(stored, nowMs);
      if (admitted) return move('active', 'joined', { activeSinceMs: nowMs, assigned: stored.assigned && !expired });
      return expired
        ? ended('invitation expired')
        : move('invited', verdict.reason === 'joined' ? 'consent' : verdict.reason);
    }
    case 'active':
    case 'suspended': {
      if (!verdict.permits) return ended('consent');
      if (presence(input) === 'offline') return ended('offline');
      if (admitted) return move('active', stored.state === 'active' ? stored.reason : 'eligible again');
      if (stored.state === 'suspended' && nowMs - stored.sinceMs >= SUSPENDED_AT_MOST_MS)
        return ended('suspended too long');
      return move('suspended', verdict.reason);
    }
    case 'left':
      // An open Subcloud takes a node again once its operator's standing consent and its facts allow it.
      if (subcloud.participation.mode !== 'open' || !admitted) return stored;
      if (stored.reason === 'offline' && input.node.facts.lastSeenAt !== null) return stored;
      return move('active', 'joined', { activeSinceMs: nowMs });
    case 'removed':
      return stored;
  }
}

function dueOf(next: Membership | null, input: ReconcileInput): number | null {
  let due: number | null = null;
  if (next?.state === 'invited') due = earliest(due, next.sinceMs + INVITATION_VALID_MS);
  if (next?.state === 'suspended') due = earliest(due, next.sinceMs + SUSPENDED_AT_MOST_MS);
  const { lastSeenAt } = input.node.facts;
  if (lastSeenAt !== null && (next?.state === 'active' || next?.state === 'suspended'))
    due = earliest(due, lastSeenAt + OFFLINE_AT_MOST_MS);
  return due;
}

function earliest(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.min(a, b);
}

function same(a: Membership | null, b: Membership | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.state === b.state &&
    a.reason === b.reason &&
    a.sinceMs === b.sinceMs &&
    a.activeSinceMs === b.activeSinceMs &&
    a.assigned === b.assigned
  );
}

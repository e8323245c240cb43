/** The state table of the protocol, for the states that need no people to decide. Pure. */
import type { MembershipState } from '@subcloud/contract/routes/shapes';
import type { Isolation } from '@subcloud/policy/consent';
import {
  BANNED,
  CUTTING_CLAUSES,
  DRAIN_TIMEOUT_MS,
  INVITATION_VALID_MS,
  type Membership,
  OFFLINE_AT_MOST_MS,
  type ReconcileInput,
  SUSPENDED_AT_MOST_MS,
  type SubcloudPolicy,
  TOOK_MORE,
  type Verdict,
  hasExpired,
  presence,
} from './membership.ts';

/** The node is another's: an exclusive Subcloud's, or (said of `global`) an isolating one's. */
export const HELD_ELSEWHERE = 'isolation';
/** An exclusive Subcloud has the operator's yes by name, and the node has answers in flight elsewhere. */
export const LEAVING_OTHERS = 'leaving others';
/** An exclusive Subcloud has no yes by name for a node that is in another Subcloud. */
export const IN_OTHERS = 'in others';
/** The Network manifest does not let this owner isolate. */
export const NOT_ALLOWED = 'isolation not allowed';
/** The Network manifest's share of nodes that auto-join may take out of other pools is taken. */
export const SHARE_TAKEN = 'isolation share taken';

/** What the membership is now; null: no row. Applied to its own result it changes nothing. */
export function nextMembership(
  input: ReconcileInput,
  subcloud: SubcloudPolicy,
  stored: Membership | undefined,
  verdict: Verdict,
): Membership | null {
  // By far most pairs of a large network: no member, and nobody asks.
  if (stored === undefined && !verdict.asks && verdict.reason !== 'joined') return null;
  const { nowMs } = input;
  const cooldownMs = subcloud.cooldownMs ?? 0;
  const from = stored?.cooldownFromMs ?? null;
  const admitted = verdict.permits && verdict.reason === 'joined';
  const returns = admitted && (from === null || nowMs - from >= cooldownMs);
  const move = (state: MembershipState, reason: string, more: Partial<Membership> = {}): Membership => {
    const base = stored ?? { ...NEW, state, reason, sinceMs: nowMs };
    return { ...base, ...more, state, reason, sinceMs: stored?.state === state ? base.sinceMs : nowMs };
  };
  const joined = (assigned = stored?.assigned ?? false): Membership =>
    move('active', 'joined', { activeSinceMs: nowMs, cooldownFromMs: null, assigned });
  const ended = (state: 'left' | 'removed' | 'banned', reason: string): Membership =>
    move(state, reason, {
      assigned: false,
      drainsTo: null,
      cooldownFromMs: (stored?.activeSinceMs ?? null) === null ? from : nowMs,
    });

  if (input.banned?.has(subcloud.id) === true) {
    if (stored === undefined || stored.state === 'banned') return stored ?? null;
    const serves = stored.state === 'active' || stored.state === 'suspended' || stored.state === 'draining';
    const over = stored.state === 'draining' && nowMs - stored.sinceMs >= DRAIN_TIMEOUT_MS;
    if (!serves || over || nothingInFlight(input, subcloud)) return ended('banned', BANNED);
    return move('draining', BANNED, { assigned: false, drainsTo: 'banned' });
  }

  switch (stored?.state) {
    case undefined:
      if (returns) return joined();
      // Whoever asks an open Subcloud by name and is not eligible yet is on its list.
      return asksInVain(input, subcloud, verdict) ? move('requested', waitsFor(verdict)) : null;
    case 'requested':
      if (returns) return joined();
      if (!verdict.asks && !stored.assigned) return ended('left', 'consent');
      if (verdict.refused) return ended('left', 'consent');
      if (verdict.reason === 'not invited') return ended('left', 'not invited');
      return hasExpired(stored, nowMs) ? ended('left', 'request expired') : move('requested', waitsFor(verdict));
    case 'invited': {
      const expired = hasExpired(stored, nowMs);
      if (returns) return joined(stored.assigned && !expired);
      if (expired) return ended('left', 'invitation expired');
      return verdict.refused ? ended('left', 'consent') : move('invited', waitsFor(verdict));
    }
    case 'active':
      if (!verdict.permits)
        // What was never agreed to is not held for the time of draining either.
        return (verdict.overreaches && takesMore(input, subcloud)) || nothingInFlight(input, subcloud)
          ? ended('left', 'consent')
          : move('draining', cuttingClause(verdict) ?? (wasNeverIsolated(input, subcloud) ? TOOK_MORE : 'consent'), {
              assigned: false,
              drainsTo: 'left',
            });
      if (verdict.displaced)
        return nothingInFlight(input, subcloud)
          ? nextMembership(input, subcloud, ended('left', HELD_ELSEWHERE), verdict)
          : move('draining', cuttingClause(verdict) ?? HELD_ELSEWHERE, { assigned: false, drainsTo: 'left' });
      if (presence(input) === 'offline') return ended('left', 'offline');
      return admitted ? stored : move('suspended', failsBy(verdict), { cooldownFromMs: null });
    case 'suspended': {
      if (!verdict.permits) return ended('left', 'consent');
      if (verdict.displaced) return nextMembership(input, subcloud, ended('left', HELD_ELSEWHERE), verdict);
      if (presence(input) === 'offline') return ended('left', 'offline');
      // Nothing was wrong with it: it waited for the others to end.
      if (admitted && (stored.reason === LEAVING_OTHERS || stored.reason === IN_OTHERS))
        return move('active', 'joined', { cooldownFromMs: null });
      const passesFromMs = admitted ? (from ?? nowMs) : null;
      if (passesFromMs !== null && nowMs - passesFromMs >= cooldownMs)
        return move('active', 'eligible again', { cooldownFromMs: null });
      if (nowMs - stored.sinceMs >= SUSPENDED_AT_MOST_MS) return ended('left', 'suspended too long');
      return move('suspended', admitted ? 'cooldown' : failsBy(verdict), { cooldownFromMs: passesFromMs });
    }
    case 'draining': {
      const over = nothingInFlight(input, subcloud) || nowMs - stored.sinceMs >= DRAIN_TIMEOUT_MS;
      // What has ended may begin again at once where there is no cooldown: one pass comes to the end of it.
      const leftBy = stored.reason === HELD_ELSEWHERE ? HELD_ELSEWHERE : 'consent';
      const end =
        stored.drainsTo === 'banned'
          ? ended('left', 'ban lifted')
          : stored.drainsTo === 'removed'
            ? ended('removed', 'removed by owner')
            : ended('left', leftBy);
      return over
        ? nextMembership(input, subcloud, end, verdict)
        : move('draining', cuttingClause(verdict) ?? stillDrainingFor(input, stored));
    }
    case 'left':
      // Who is not only invited comes again once its operator's standing consent and its facts allow it.
      if (subcloud.participation.mode === 'private') return stored;
      if (stored.reason === 'offline' && input.node.facts.lastSeenAt !== null) return stored;
      if (returns) return joined();
      // To be named again after a no is to ask anew; a yes that merely stands asks once.
      return (stored.reason === 'consent' || stored.reason === HELD_ELSEWHERE) &&
        (asksInVain(input, subcloud, verdict) || (verdict.asks && admitted))
        ? move('requested', waitsFor(verdict), { activeSinceMs: null })
        : stored;
    case 'removed':
      return stored;
    case 'banned':
      return nextMembership(input, subcloud, ended('left', 'ban lifted'), verdict);
  }
}

const NEW = { activeSinceMs: null, assigned: false, cooldownFromMs: null, drainsTo: null } as const;

/** The operator asks, and only the node's own facts are in the way. */
function asksInVain(
  input: ReconcileInput,
  { participation }: SubcloudPolicy,
  { asks, permits, reason }: Verdict,
): boolean {
  return participation.mode !== 'private' && asks && permits && reason !== 'joined' && presence(input) === 'joined';
}

function waitsFor({ permits, reason }: Verdict): string {
  return reason !== 'joined' ? reason : permits ? 'cooldown' : 'consent';
}

/** What cuts answers is said before what merely suspends. */
function failsBy(verdict: Verdict): string {
  return cuttingClause(verdict) ?? verdict.reason;
}

function cuttingClause({ decision: { failing } }: Verdict): string | null {
  return failing !== null && CUTTING_CLAUSES.has(failing) ? failing : null;
}

const RANK: Readonly<Record<Isolation, number>> = { shared: 0, isolate: 1, exclusive: 2 };

/** A revision asks for more isolation than the document has that the agent goes by. Where that is not known: it may. */
function takesMore({ node: { agreed } }: ReconcileInput, { name, isolation }: SubcloudPolicy): boolean {
  return agreed === undefined || RANK[agreed.get(name) ?? 'shared'] < RANK[isolation];
}

/** No document has had the node isolated by it: what is in flight there was never apart from anything. */
function wasNeverIsolated({ node: { agreed } }: ReconcileInput, { name, isolation }: SubcloudPolicy): boolean {
  return agreed !== undefined && isolation !== 'shared' && (agreed.get(name) ?? 'shared') === 'shared';
}

/** Where no document is known (a restore), what it had in the lost time may have been isolated: it is held (0026). */
function stillDrainingFor({ node: { agreed } }: ReconcileInput, { reason }: Membership): string {
  return reason === TOOK_MORE && agreed === undefined ? 'consent' : reason;
}

/** Its agent says so, or it has no link that an answer could come by. */
function nothingInFlight({ node, absenceCounts }: ReconcileInput, { name }: SubcloudPolicy): boolean {
  return (absenceCounts && node.facts.lastSeenAt !== null) || node.drained?.has(name) === true;
}

/** When time alone may next change this membership, ms since the epoch; null: never. */
export function membershipDueMs(
  membership: Membership,
  { cooldownMs = 0 }: Pick<SubcloudPolicy, 'cooldownMs'>,
  { node, nowMs }: ReconcileInput,
): number | null {
  const { state, sinceMs, cooldownFromMs } = membership;
  let due = Number.POSITIVE_INFINITY;
  if (state === 'removed' || state === 'banned') return null;
  if (state === 'invited' || state === 'requested') due = sinceMs + INVITATION_VALID_MS;
  if (state === 'suspended') due = sinceMs + SUSPENDED_AT_MOST_MS;
  if (state === 'draining') due = sinceMs + DRAIN_TIMEOUT_MS;
  const returnsAtMs = cooldownFromMs === null ? null : cooldownFromMs + cooldownMs;
  if (returnsAtMs !== null && returnsAtMs > nowMs) due = Math.min(due, returnsAtMs);
  const { lastSeenAt } = node.facts;
  if (lastSeenAt !== null && state !== 'left' && lastSeenAt + OFFLINE_AT_MOST_MS > nowMs)
    due = Math.min(due, lastSeenAt + OFFLINE_AT_MOST_MS);
  return due === Number.POSITIVE_INFINITY ? null : due;
}

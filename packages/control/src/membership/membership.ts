/** What the reconciler reads and writes: memberships, and what they follow from. */
import type { Consent, Isolation } from '@subcloud/policy/consent';
import type { Admission, ClauseName, CompiledPolicy } from '@subcloud/policy/decide';
import type { NodeFacts } from '@subcloud/policy/facts';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { MembershipState } from '@subcloud/contract/routes/shapes';

/** Of an invitation and of a request. */
export const INVITATION_VALID_MS = 7 * 86_400_000;
export const SUSPENDED_AT_MOST_MS = 7 * 86_400_000;
export const OFFLINE_AT_MOST_MS = 7 * 86_400_000;
/** Answers in flight are waited for so long. */
export const DRAIN_TIMEOUT_MS = 600_000;

/** Of who is banned. It cuts answers in flight, too. */
export const BANNED = 'banned';

/** Clauses whose failure cuts answers in flight: they say who may see a request at all. */
export const CUTTING_CLAUSES: ReadonlySet<string> = new Set<ClauseName>([
  'nodes.location',
  'nodes.operatorSeat',
  'nodes.operators',
]);

export interface Membership {
  readonly state: MembershipState;
  readonly reason: string;
  readonly sinceMs: number;
  /** First became active in this membership; isolation is held from then until it ends. Null: never. */
  readonly activeSinceMs: number | null;
  /** The owner assigned or invited the node. */
  readonly assigned: boolean;
  /**
   * What the cooldown counts from: while suspended, since when everything passes again (null: it does not); else when the
   * node last departed from having been active (null: never). Null while active.
   */
  readonly cooldownFromMs: number | null;
  /** While draining: what it becomes. */
  readonly drainsTo: 'left' | 'removed' | 'banned' | null;
}

export interface SubcloudPolicy {
  readonly id: string;
  readonly name: string;
  /** Null for the global network. */
  readonly owner: PrincipalId | null;
  readonly participation: { readonly mode: 'open' | 'semi-open' | 'private'; readonly autoJoin: boolean };
  /** Of `semi-open`: a node that passes one of these needs no approval. */
  readonly stakes?: readonly CompiledPolicy[] | undefined;
  /** How long the return of a suspended or departed node waits; absent: not at all. */
  readonly cooldownMs?: number | undefined;
  readonly isolation: Isolation;
  /** What an operator's rule may ask of it besides. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly allows?: readonly string[] | undefined;
  readonly policy: CompiledPolicy;
}

/** What the Network manifest says of isolating, as it stands for one node at this moment. */
export interface IsolationRules {
  /** Whether Subclouds of this owner may take further nodes out of other pools. */
  readonly allows: (owner: PrincipalId) => boolean;
  /** Whether auto-join may take this node out of other pools, if it has not already. */
  readonly mayTake: boolean;
}

export interface NodeState {
  readonly id: string;
  readonly operator: PrincipalId;
  readonly consent: Consent;
  /** `lastSeenAt` is null while the node has a link. */
  readonly facts: NodeFacts;
  /** Names of pools that it is leaving and in which it has nothing in flight any more. */
  readonly drained?: ReadonlySet<string> | undefined;
  /**
   * By name of a pool, the isolation at which its newest document has it: all that its operator has agreed to so far.
   * Absent: not known, and whatever a revision takes is taken for agreed.
   */
  readonly agreed?: ReadonlyMap<string, Isolation> | undefined;
}

export interface ReconcileInput {
  readonly node: NodeState;
  readonly memberships: ReadonlyMap<string, Membership>;
  /** All Subclouds that exist, and `global` as one of them (the one without an owner); best as a `SubcloudList`. */
  readonly subclouds: Iterable<SubcloudPolicy>;
  readonly nowMs: number;
  /** Ids of the Subclouds (and `global`) that the node or its operator is banned from; absent: none. */
  readonly banned?: ReadonlySet<string> | undefined;
  /**
   * Subclouds to decide again; absent: all. The others keep what is stored: nothing that they read has changed. `global`
   * is always decided, since what holds the node may have; and all are, where one that keeps models to itself is among
   * them or holds the node, since that changes what the others may offer.
   */
  readonly scope?: ReadonlySet<string>;
  /** False until control has heard from the gateways after its start: absence alone changes nothing before. */
  readonly absenceCounts: boolean;
  /** Absent: everybody may isolate, and as many nodes as permit it. */
  readonly isolation?: IsolationRules | undefined;
  /**
   * Told each verdict, with the membership that it comes to, instead of collecting them. What is said last of a Subcloud
   * counts: it may be judged again in the light of what others come to.
   */
  readonly judged?: (subcloud: SubcloudPolicy, verdict: Verdict, next: Membership | null) => void;
}

export interface Verdict {
  /** What the policy admits, less what the operator does not offer there and what others keep to themselves. */
  readonly decision: Admission;
  /** Whether operator and owner both say yes, and in what words. */
  readonly permits: boolean;
  /** The operator's yes names this Subcloud. */
  readonly asks: boolean;
  /** The operator's no names it. */
  readonly refused: boolean;
  /** The operator would say yes if it took less: a revision took more than was agreed. */
  readonly overreaches: boolean;
  /** The node is another's alone: what there is of this membership ends. */
  readonly displaced: boolean;
  /** Why the node is not an active member, or why it is: a clause's name, `consent`, `isolation`, `not invited`, `joined`, … */
  readonly reason: string;
}

/** Isolation that an owner may have held back by the Network manifest. */
export function isolates({ isolation }: Pick<SubcloudPolicy, 'isolation'>): boolean {
  return isolation !== 'shared';
}

/** Isolation is held from the first `active` until the membership ends: while suspended and while draining, too. */
export function holds({ state, activeSinceMs }: Membership): boolean {
  return activeSinceMs !== null && (state === 'active' || state === 'suspended' || state === 'draining');
}

/** Of a membership that is ending: a revision took more isolation than was ever agreed to, so none is held for its last answers. */
export const TOOK_MORE = 'isolation not agreed';

/** Whether the node is kept from the global network, and from other pools, by this membership. */
export function holdsIsolation(subcloud: Pick<SubcloudPolicy, 'isolation'>, membership: Membership): boolean {
  return isolates(subcloud) && holds(membership) && membership.reason !== TOOK_MORE;
}

/** Whether answers in flight of this node in this pool are cut, not finished. */
export function cuts({ state, reason }: Membership): boolean {
  return (state === 'suspended' || state === 'draining') && (CUTTING_CLAUSES.has(reason) || reason === BANNED);
}

/** Who was away for so long that its membership would end begins none. */
export function presence({ node, nowMs, absenceCounts }: ReconcileInput): 'joined' | 'offline' {
  const { lastSeenAt } = node.facts;
  return absenceCounts && lastSeenAt !== null && nowMs - lastSeenAt >= OFFLINE_AT_MOST_MS ? 'offline' : 'joined';
}

/** An invitation runs out; an invitation that was answered by a request runs out with that. */
export function hasExpired({ state, sinceMs }: Membership, nowMs: number): boolean {
  return (state === 'invited' || state === 'requested') && nowMs - sinceMs >= INVITATION_VALID_MS;
}

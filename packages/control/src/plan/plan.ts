/**
 * What would change if a Subcloud had another revision, existed, or were deleted: pure, over a snapshot of the world. It
 * decides nothing itself. The nodes go through the reconciler with the Subclouds as they would be, and what differs from
 * what is stored is the plan: so the plan says what an apply does.
 *
 * Nodes for which neither the change's decision nor its terms make a difference are left out after two decisions, so
 * that a plan costs what the change touches and not the whole fleet times all Subclouds.
 */
import { canonicalJson } from '@subcloud/policy/canonical-json';
import { admits } from '@subcloud/policy/decide';
import {
  type IsolationRules,
  type Membership,
  type NodeState,
  type ReconcileResult,
  type Share,
  reconcileNode,
} from '../membership/reconcile.ts';
import { isolationRules, limitOf } from '../world/isolation-rules.ts';
import type { NodeRecord, SubcloudRecord } from '../world/world.ts';

/** What a plan reads of the world; a snapshot whose parts nobody changes while the plan is made. */
export interface PlanWorld {
  readonly nodes: readonly PlanNode[];
  readonly subclouds: ReadonlyMap<string, SubcloudRecord>;
  readonly absenceCounts: boolean;
  /** Who has, or waits for, a place in the share that auto-join may isolate. */
  readonly isolationShare?: { readonly counts: ReadonlySet<string>; readonly wants: ReadonlySet<string> } | undefined;
}
export interface PlanNode {
  readonly record: NodeRecord;
  readonly state: NodeState;
}

/** The Subcloud as it is and as it would be, under the same id; null: there is none. */
export interface PlanChange {
  readonly before: SubcloudRecord | null;
  readonly after: SubcloudRecord | null;
}

export type MoveKind = 'join' | 'leave' | 'suspend' | 'other';
export interface Move {
  readonly kind: MoveKind;
  readonly node: NodeRecord;
  readonly subcloudId: string;
  readonly from: Membership | null;
  readonly to: Membership | null;
  /** The reason of the state that would be, or why there would be no membership. */
  readonly why: string;
}

export interface Capacity {
  readonly members: number;
  readonly concurrency: number;
  readonly undeclared: number;
}
export interface Comparison<Value> {
  readonly before: Value;
  readonly after: Value;
}

export interface FleetPlan {
  readonly subcloudId: string;
  /** Every membership of any Subcloud that would change, in the order of the nodes. */
  readonly moves: readonly Move[];
  /** Memberships of the Subcloud that stay as they are. */
  readonly unchanged: number;
  readonly activeBefore: number;
  /** Active members that would no longer be active. */
  readonly activeLost: number;
  /** By Subcloud id, of every pool of which something would change, and of the Subcloud itself. */
  readonly pools: ReadonlyMap<string, PoolPlan>;
}
export interface PoolPlan {
  readonly capacity: Comparison<Capacity>;
  /** All models that are served before or after, by the nodes that this plan looked at. */
  readonly models: ReadonlyMap<string, Comparison<Capacity>>;
}

/** What of the plan is about one node. */
export interface NodePlan {
  readonly moves: readonly Move[];
  readonly before: NodeOutcome;
  readonly after: NodeOutcome;
}
export interface NodeOutcome {
  readonly memberships: ReadonlyMap<string, Membership>;
  /** By Subcloud id, what an active membership serves. */
  readonly models: ReadonlyMap<string, readonly string[]>;
  /** By Subcloud id, why the node is in or is not. */
  readonly reasons: ReadonlyMap<string, string>;
}

/** The whole plan at once. */
export function plan(world: PlanWorld, change: PlanChange, nowMs: number): FleetPlan {
  const step = planner(world, change, nowMs);
  for (const node of world.nodes) step.add(node);
  return step.result();
}

/** The same node by node, for who must not block its loop for the whole fleet. */
export function planner(world: PlanWorld, change: PlanChange, nowMs: number): Planner {
  const subcloudId = (change.after ?? change.before)?.id;
  if (subcloudId === undefined) throw new Error('a plan is about a Subcloud that is or would be');
  const hypothetical = withChange(world.subclouds, subcloudId, change.after);
  const sameTerms = canonicalJson(termsOf(change.before)) === canonicalJson(termsOf(change.after));
  const scope = scopeOf(change);
  const pools = createPools();
  const moves: Move[] = [];
  let unchanged = 0;
  let activeBefore = 0;
  let activeLost = 0;
  const places = placesOf(world, hypothetical);
  const account = (node: PlanNode, outcome: NodePlan): void => {
    const stored = node.record.memberships.get(subcloudId);
    const [was, is] = [outcome.before.memberships.get(subcloudId), outcome.after.memberships.get(subcloudId)];
    if (was?.state === 'active') {
      activeBefore += 1;
      if (is?.state !== 'active') activeLost += 1;
    }
    moves.push(...outcome.moves);
    if (stored !== undefined && !outcome.moves.some((move) => move.subcloudId === subcloudId)) unchanged += 1;
    pools.add(subcloudId, node.record, outcome);
  };
  return {
    add(node) {
      if (sameTerms && decidesAlike(change, node.state, nowMs)) return account(node, standing(node));
      const { share, ...outcome } = reconciled(world, hypothetical, scope, node, nowMs, false);
      places.note(node, share);
      if (share !== 'wants') account(node, outcome);
    },
    result() {
      for (const { node, isFree } of places.take())
        account(node, reconciled(world, hypothetical, scope, node, nowMs, isFree));
      return { subcloudId, moves, unchanged, activeBefore, activeLost, pools: pools.result(subcloudId) };
    },
  };
}

/** Places in the share that auto-join may isolate: those that are or come free go to who wants one, by id, as in a pass. */
function placesOf(world: PlanWorld, hypothetical: ReadonlyMap<string, SubcloudRecord>) {
  const counts = new Set(world.isolationShare?.counts);
  const wanting: PlanNode[] = [];
  return {
    note(node: PlanNode, share: Share): void {
      if (share === 'counts') counts.add(node.record.id);
      else counts.delete(node.record.id);
      if (share === 'wants') wanting.push(node);
    },
    /** To be called once, when all have been noted. */
    take(): { readonly node: PlanNode; readonly isFree: boolean }[] {
      const free = limitOf(hypothetical, world.nodes.length) - counts.size;
      const sorted = wanting.sort((a, b) => (a.record.id < b.record.id ? -1 : 1));
      return sorted.map((node, index) => ({ node, isFree: index < free }));
    },
  };
}
export interface Planner {
  add(node: PlanNode): void;
  result(): FleetPlan;
}

/**
 * Subclouds that have to be decided again when one of them changes; undefined: all. What a Subcloud has for itself, or
 * had, concerns every other one of its members, and who may isolate all that do; anything else only the pool `global`,
 * which is always decided.
 */
export function scopeOf({ before, after }: PlanChange): ReadonlySet<string> | undefined {
  const changed = [before, after].filter((subcloud) => subcloud !== null);
  const isolation = changed.map(({ network }) => canonicalJson(network?.spec.isolation ?? null));
  if (new Set(isolation).size > 1) return undefined;
  const forItself = changed.some((subcloud) => subcloud.policy.models.isPrivate || subcloud.isolation === 'exclusive');
  return forItself ? undefined : new Set(changed.map(({ id }) => id));
}

/** One node as it stands, and as the reconciler would have it. */
function reconciled(
  world: PlanWorld,
  hypothetical: ReadonlyMap<string, SubcloudRecord>,
  scope: ReadonlySet<string> | undefined,
  node: PlanNode,
  nowMs: number,
  mayTake: boolean,
): NodePlan & { readonly share: Share } {
  const { id, memberships } = node.record;
  const waits = world.isolationShare?.wants.has(id) === true;
  const after = reconcileNode({
    node: node.state,
    memberships,
    subclouds: hypothetical.values(),
    ...(scope === undefined || waits ? {} : { scope }),
    nowMs,
    absenceCounts: world.absenceCounts,
    isolation: isolationRules(hypothetical, mayTake),
  });
  return { ...compared(node.record, standing(node).before, outcomeOf(after, node.record)), share: after.share };
}

/** One node with its facts as they are, and with others. */
export function supposeFacts(
  world: Pick<PlanWorld, 'subclouds' | 'absenceCounts'>,
  { record, state }: PlanNode,
  stateAfter: NodeState,
  nowMs: number,
  isolation?: IsolationRules,
): NodePlan {
  const { memberships } = record;
  const { absenceCounts } = world;
  const common = { memberships, nowMs, absenceCounts, isolation, subclouds: world.subclouds.values() };
  const before = reconcileNode({ ...common, node: state });
  const after = reconcileNode({ ...common, node: stateAfter, subclouds: world.subclouds.values() });
  return compared(record, outcomeOf(before, record), outcomeOf(after, record));
}

function compared(node: NodeRecord, before: NodeOutcome, after: NodeOutcome): NodePlan {
  const moves: Move[] = [];
  for (const subcloudId of new Set([...before.memberships.keys(), ...after.memberships.keys()])) {
    const from = before.memberships.get(subcloudId) ?? null;
    const to = after.memberships.get(subcloudId) ?? null;
    if (from?.state === to?.state && from?.reason === to?.reason) continue;
    const why = to?.reason ?? after.reasons.get(subcloudId) ?? 'subcloud deleted';
    moves.push({ kind: kindOf(from, to), node, subcloudId, from, to, why });
  }
  return { moves, before, after };
}

export function withChange(
  subclouds: ReadonlyMap<string, SubcloudRecord>,
  subcloudId: string,
  after: SubcloudRecord | null,
): ReadonlyMap<string, SubcloudRecord> {
  const changed = new Map(subclouds);
  if (after === null) changed.delete(subcloudId);
  else changed.set(subcloudId, after);
  return changed;
}

function kindOf(from: Membership | null, to: Membership | null): MoveKind {
  if (to?.state === 'active' && from?.state !== 'active') return 'join';
  if (to?.state === 'suspended' && from?.state !== 'suspended') return 'suspend';
  return isLive(from) && !isLive(to) ? 'leave' : 'other';
}

function isLive(membership: Membership | null): boolean {
  const state = membership?.state;
  return state !== undefined && state !== 'draining' && state !== 'left' && state !== 'removed';
}

/** All that a reconciler could read of a Subcloud besides which nodes its clauses admit. */
function termsOf(subcloud: SubcloudRecord | null): unknown {
  if (subcloud === null) return null;
  const { owner, name, participation, isolation, manifest, network } = subcloud;
  const { labels } = manifest?.metadata ?? { labels: null };
  const { nodes: _nodes, tests: _tests, ...rest } = (manifest ?? network)?.spec ?? { nodes: null, tests: null };
  return { owner, name, participation, isolation, labels, rest };
}

function decidesAlike({ before, after }: PlanChange, { facts }: NodeState, nowMs: number): boolean {
  if (before === null || after === null) return before === after;
  const [was, is] = [admits(before.policy, facts, nowMs), admits(after.policy, facts, nowMs)];
  // The models that pass are the same then: the terms are, and so what they say of models.
  return was.eligible === is.eligible && was.failing === is.failing;
}

/** A node of which nothing changes: as the last pass left it. */
function standing({ record }: PlanNode): NodePlan {
  const models = new Map([...record.admitted].map(([id, admitted]) => [id, admitted.models]));
  const outcome = { memberships: record.memberships, models, reasons: new Map<string, string>() };
  return { moves: [], before: outcome, after: outcome };
}

/** What was not decided again serves what it served. */
function outcomeOf({ memberships, verdicts }: ReconcileResult, { admitted }: NodeRecord): NodeOutcome {
  const models = new Map<string, readonly string[]>();
  for (const [id, { state }] of memberships) {
    const serves = verdicts.get(id)?.decision.models ?? admitted.get(id)?.models;
    if (state === 'active' && serves !== undefined) models.set(id, serves);
  }
  return { memberships, models, reasons: new Map([...verdicts].map(([id, { reason }]) => [id, reason])) };
}

interface MutableCapacity {
  members: number;
  concurrency: number;
  undeclared: number;
}
interface Sums {
  readonly total: Comparison<MutableCapacity>;
  readonly models: Map<string, Comparison<MutableCapacity>>;
}

/** Capacity before and after by pool. Of other pools only what changes counts, of the Subcloud itself everything. */
function createPools() {
  const sums = new Map<string, Sums>();
  const of = (id: string): Sums => {
    const known = sums.get(id) ?? { total: nothing(), models: new Map<string, Comparison<MutableCapacity>>() };
    sums.set(id, known);
    return known;
  };
  const count = (id: string, record: NodeRecord, side: 'before' | 'after', outcome: NodeOutcome): void => {
    if (outcome.memberships.get(id)?.state !== 'active') return;
    const { total, models } = of(id);
    increase(total[side], record);
    for (const model of outcome.models.get(id) ?? []) {
      const known = models.get(model) ?? nothing();
      models.set(model, known);
      increase(known[side], record);
    }
  };
  return {
    add(subcloudId: string, record: NodeRecord, { moves, before, after }: NodePlan): void {
      const touched = new Set([subcloudId, ...moves.map((move) => move.subcloudId)]);
      // A pool may lose a model of a node that stays its member, where another takes the model for itself.
      if (before !== after)
        for (const id of new Set([...before.models.keys(), ...after.models.keys()]))
          if (canonicalJson(before.models.get(id) ?? []) !== canonicalJson(after.models.get(id) ?? [])) touched.add(id);
      for (const id of touched) {
        count(id, record, 'before', before);
        count(id, record, 'after', after);
      }
    },
    result(subcloudId: string): ReadonlyMap<string, PoolPlan> {
      of(subcloudId);
      return new Map([...sums].map(([id, { total, models }]) => [id, { capacity: total, models }]));
    },
  };
}

function nothing(): Comparison<MutableCapacity> {
  return {
    before: { members: 0, concurrency: 0, undeclared: 0 },
    after: { members: 0, concurrency: 0, undeclared: 0 },
  };
}

function increase(capacity: MutableCapacity, { concurrency }: NodeRecord): void {
  capacity.members += 1;
  if (concurrency === null) capacity.undeclared += 1;
  else capacity.concurrency += concurrency;
}

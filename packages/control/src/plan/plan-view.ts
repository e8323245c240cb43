/**
 * A plan as one reader may see it. Of the own Subcloud everything; a node by name where the reader is its operator, the
 * admin, or the owner of a Subcloud that it is or would be in; a pool by name where the reader may know of it. What is
 * left is counted and not named.
 */
import type { Plan } from '@subcloud/contract/routes/plan';
import type { Actor } from '../access/actor.ts';
import { mayKnow, seesAll, seesNode } from '../access/authorise.ts';
import { iso } from '../api/context.ts';
import { GLOBAL_ID, type SubcloudRecord, type World } from '../world/world.ts';
import type { Capacity, Comparison, FleetPlan, Move, MoveKind, PlanChange, PoolPlan } from './plan.ts';

const MAX_MOVES = 1_000;
const NOTHING: Capacity = { members: 0, concurrency: 0, undeclared: 0 };

export interface PlanFrame {
  readonly change: Plan['change'];
  readonly failingTests: Plan['failingTests'];
  readonly nowMs: number;
}

export function planView(
  world: World,
  actor: Actor,
  { before, after }: PlanChange,
  planned: FleetPlan,
  frame: PlanFrame,
): Plan {
  const { subcloudId } = planned;
  const own = planned.moves.filter((move) => move.subcloudId === subcloudId);
  const others = planned.moves.filter((move) => move.subcloudId !== subcloudId);
  const readers = readerOf(world, actor, subcloudId, own);
  const name = (after ?? before)?.name ?? '';
  const nameOf = (id: string): string => (id === subcloudId ? name : (world.subclouds.get(id)?.name ?? id));
  const pool = planned.pools.get(subcloudId);
  const elsewhere: Plan['elsewhere'] = [];
  const hidden = { gain: 0, lose: 0 };
  for (const [id, changed] of planned.pools) {
    if (id === subcloudId) continue;
    const gain = others.filter((move) => move.subcloudId === id && move.to?.state === 'active').length;
    const lose = others.filter((move) => move.subcloudId === id && move.from?.state === 'active').length;
    if (readers.knows(id)) elsewhere.push({ subcloud: nameOf(id), gain, lose, models: nodesByModel(changed) });
    else {
      hidden.gain += gain;
      hidden.lose += lose;
    }
  }
  const shown = [...own, ...others.filter((move) => readers.sees(move))].slice(0, MAX_MOVES);
  return {
    subcloud: name,
    change: frame.change,
    revision: before?.revision ?? 0,
    at: iso(frame.nowMs),
    moves: shown.map((move) => ({
      kind: move.kind,
      node: move.node.id,
      nodeName: move.node.name,
      subcloud: nameOf(move.subcloudId),
      from: move.from?.state ?? null,
      to: move.to?.state ?? null,
      why: move.why,
    })),
    counts: {
      join: count(own, 'join'),
      leave: count(own, 'leave'),
      suspend: count(own, 'suspend'),
      other: count(own, 'other'),
      unchanged: planned.unchanged,
      activeLost: planned.activeLost,
    },
    capacity: { before: pool?.capacity.before ?? NOTHING, after: pool?.capacity.after ?? NOTHING },
    models: changedModels(pool),
    elsewhere: elsewhere.sort((a, b) => (a.subcloud < b.subcloud ? -1 : 1)),
    hidden,
    failingTests: frame.failingTests,
  };
}

interface Reader {
  knows(subcloudId: string): boolean;
  sees(move: Move): boolean;
}

function readerOf(world: World, actor: Actor, subcloudId: string, own: readonly Move[]): Reader {
  const known = new Map<string, boolean>([[GLOBAL_ID, true]]);
  const owned = [...world.subclouds.values()].filter((subcloud) => seesAll(actor, subcloud, world)).map(({ id }) => id);
  const joining = new Set(own.map(({ node }) => node.id));
  const knows = (id: string): boolean => {
    const subcloud: SubcloudRecord | undefined = world.subclouds.get(id);
    const answer = known.get(id) ?? (subcloud !== undefined && mayKnow(actor, subcloud, world));
    known.set(id, answer);
    return answer;
  };
  return {
    knows,
    sees({ node, subcloudId: pool }) {
      if (seesNode(actor, node, world)) return true;
      // Why a node is or is not in a Subcloud is for that Subcloud's owner; of `global` everybody knows that it exists.
      if (pool !== GLOBAL_ID) return owned.includes(pool);
      return joining.has(node.id) || [subcloudId, ...owned].some((id) => node.memberships.has(id));
    },
  };
}

function count(moves: readonly Move[], kind: MoveKind): number {
  return moves.filter((move) => move.kind === kind).length;
}

function changedModels(pool: PoolPlan | undefined): Plan['models'] {
  return [...(pool?.models ?? [])]
    .filter(([, { before, after }]) => before.members !== after.members)
    .map(([model, { before, after }]) => ({ model, before: { ...before }, after: { ...after } }))
    .sort((a, b) => (a.model < b.model ? -1 : 1));
}

/** Of other pools only the nodes that change were counted: what is told is the difference that they make. */
function nodesByModel({ models }: PoolPlan): Plan['elsewhere'][number]['models'] {
  return [...models]
    .filter(([, { before, after }]: [string, Comparison<Capacity>]) => before.members !== after.members)
    .map(([model, { before, after }]) => ({ model, before: before.members, after: after.members }))
    .sort((a, b) => (a.model < b.model ? -1 : 1));
}

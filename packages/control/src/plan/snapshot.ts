/** What a plan reads of the world, taken at one moment: the loop may go on while the plan is made. */
import type { Clock } from '@subcloud/kit/clock';
import { NO_CONSENT } from '@subcloud/policy/consent';
import { agreedOf, drainedOf } from '../compile/desired.ts';
import { absenceCounts } from '../membership/absence.ts';
import { slices } from '../slices.ts';
import { factsOf } from '../world/facts-of.ts';
import type { NodeRecord, World } from '../world/world.ts';
import { type FleetPlan, type PlanChange, type PlanNode, type PlanWorld, planner } from './plan.ts';

export function planNode(world: World, record: NodeRecord): PlanNode {
  const { id, operator, consent } = record;
  const facts = factsOf(world, record);
  const [drained, agreed] = [drainedOf(record), agreedOf(record)];
  return { record: { ...record }, state: { id, operator, consent: consent ?? NO_CONSENT, facts, drained, agreed } };
}

export function snapshot(world: World, startedAtMs: number, nowMs: number): PlanWorld {
  return {
    nodes: [...world.nodes.values()].map((record) => planNode(world, record)),
    subclouds: new Map(world.subclouds),
    absenceCounts: absenceCounts(world, startedAtMs, nowMs),
    isolationShare: { counts: new Set(world.isolationShare.counts), wants: new Set(world.isolationShare.wants) },
  };
}

/** The plan of a whole fleet, in slices: links, leases and other requests go on between them. */
export async function planInSlices(
  world: PlanWorld,
  change: PlanChange,
  clock: Pick<Clock, 'nowMs' | 'monotonicMs' | 'sleep'>,
): Promise<FleetPlan> {
  const step = planner(world, change, clock.nowMs());
  const slice = slices(clock);
  for (const node of world.nodes) {
    step.add(node);
    if (slice.due()) await slice.pause();
  }
  return step.result();
}

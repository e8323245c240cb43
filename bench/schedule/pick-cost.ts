/** Time and allocation of one pick, over pools of different sizes. */
import { pick } from '@subcloud/gateway/schedule/pick';
import { TriedNode } from '@subcloud/gateway/schedule/node-stats';
import { seeded } from '@subcloud/testkit/seeded';
import { MODEL, fleetOf } from './fleet.ts';

const ROUNDS = 5;
const PICKS = 200_000;
const FEW_PICKS = 2_000;

export interface PickCost {
  readonly nodes: number;
  readonly ns: number;
  /** Of the young heap, with the two candidates and the answer in it. */
  readonly bytes: number;
}

export function pickCost(nodes: number): PickCost {
  const fleet = fleetOf(nodes);
  const random = seeded(1);
  // Every node has a latency of its own, so that the whole score is worked out.
  for (const link of fleet.links) {
    const tried = new TriedNode(link.stats, MODEL, true, 0);
    tried.firstByte(10 + random() * 100);
    tried.ended('served', 120);
    link.inFlight = Math.floor(random() * 8);
  }
  const view = fleet.view(1_000);
  let best = Number.POSITIVE_INFINITY;
  let bytes = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    // Of this thread's CPU, so that what else the machine does is not counted.
    const start = process.threadCpuUsage();
    for (let count = 0; count < PICKS; count += 1) pick(fleet.members, view, random);
    const { user, system } = process.threadCpuUsage(start);
    const ns = ((user + system) * 1_000) / PICKS;
    best = Math.min(best, ns);
    // So few that no collection comes in between, or it shows as less than in another round.
    const heapBefore = process.memoryUsage().heapUsed;
    for (let count = 0; count < FEW_PICKS; count += 1) pick(fleet.members, view, random);
    bytes = Math.max(bytes, (process.memoryUsage().heapUsed - heapBefore) / FEW_PICKS);
  }
  return { nodes, ns: Math.round(best), bytes: Math.round(bytes) };
}

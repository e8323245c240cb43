/**
 * Linkerd's table ("Beyond Round Robin: Load Balancing for Latency", 2016): eleven backends, one of which answers only
 * after two seconds for half of the time; how many of the requests are answered within one second.
 */
import { TriedNode } from '@subcloud/gateway/schedule/node-stats';
import { pick } from '@subcloud/gateway/schedule/pick';
import type { NodeLink } from '@subcloud/gateway/link/node-link';
import { seeded } from '@subcloud/testkit/seeded';
import { Agenda, MODEL, exponential, fleetOf } from './fleet.ts';

const BACKENDS = 11;
const PER_SECOND = 1_000;
const RUN_MS = 60_000;
const SLOW = { fromMs: 15_000, untilMs: 45_000, latencyMs: 2_000 } as const;
const FAST_MEAN_MS = 50;
const DEADLINE_MS = 1_000;

export type Policy = 'roundRobin' | 'leastLoaded' | 'ours';

/** Share of requests answered within a second. */
export function slowBackend(policy: Policy): number {
  const random = seeded(11);
  const fleet = fleetOf(BACKENDS);
  const agenda = new Agenda();
  let requests = 0;
  let inTime = 0;
  for (let nowMs = 0; nowMs < RUN_MS; nowMs += exponential(1_000 / PER_SECOND, random)) {
    agenda.runUntil(nowMs);
    const link = choose(policy, requests, fleet, nowMs, random);
    const slow = link === fleet.links[0] && nowMs >= SLOW.fromMs && nowMs < SLOW.untilMs;
    const latencyMs = slow ? SLOW.latencyMs : exponential(FAST_MEAN_MS, random);
    requests += 1;
    if (latencyMs <= DEADLINE_MS) inTime += 1;
    const tried = new TriedNode(link.stats, MODEL, true, nowMs);
    link.inFlight += 1;
    agenda.add(nowMs + latencyMs, () => {
      link.inFlight -= 1;
      tried.firstByte(nowMs + latencyMs);
      tried.ended('served', nowMs + latencyMs);
    });
  }
  return Math.round((inTime / requests) * 1e6) / 1e6;
}

function choose(
  policy: Policy,
  requests: number,
  fleet: ReturnType<typeof fleetOf>,
  nowMs: number,
  random: () => number,
): NodeLink {
  const { links } = fleet;
  const [first] = links;
  if (first === undefined) throw new Error('no backends');
  switch (policy) {
    case 'roundRobin':
      return links[requests % links.length] ?? first;
    case 'leastLoaded':
      return links.reduce((least, link) => (link.inFlight < least.inFlight ? link : least), first);
    case 'ours':
      return pick(fleet.members, fleet.view(nowMs), random)?.chosen.link ?? first;
  }
}

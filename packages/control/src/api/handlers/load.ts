import type { NodeLoad } from '@subcloud/contract/load';
import type { LogHistogram } from '@subcloud/kit/log-histogram';
import { may, seesAll, seesNode } from '../../access/authorise.ts';
import { type NodeRecord, type World, isOnline } from '../../world/world.ts';
import type { ApiContext, Handlers } from '../context.ts';

export const loadHandlers: Pick<Handlers, 'getLoad'> = {
  /**
   * Pools for who may explain them, nodes with their own ids for who may read them: the load of a shared node tells of all
   * its pools, so an owner who is not its operator gets the sums of the own pool and nothing of the node.
   */
  getLoad(context, _input, actor) {
    const { world } = context.loop;
    const { reporting, windowMs, pools, nodes } = context.loads.now();
    const seen = [...world.subclouds.values()].filter((subcloud) => seesAll(actor, subcloud, world));
    const members = membersOf(world, new Set(seen.map(({ id }) => id)));
    const seesGateways = may(world, actor, { kind: 'network' }, 'gateway.list');
    const seenNodes = [...world.nodes.values()].filter((node) => seesNode(actor, node, world));
    // Whoever may see nothing must not set every gateway to work.
    if (seesGateways || seen.length > 0 || seenNodes.length > 0) context.loads.look();
    const shown = busiest(world, seenNodes, nodes);
    return {
      gateways: seesGateways ? { reporting, leased: leased(context) } : null,
      windowMs: Math.round(windowMs),
      pools: seen
        .map(({ id, name }) => {
          const sum = pools.get(name);
          return {
            name,
            requestsPerS: sum?.requests ?? 0,
            failedPerS: sum?.failed ?? 0,
            refusedPerS: sum?.refused ?? 0,
            outputTokensPerS: sum?.outputTokens ?? 0,
            ttftMs: quantiles(sum?.ttft),
            tpotMs: quantiles(sum?.tpot),
            inFlight: sum?.inFlight ?? 0,
            waiting: sum?.waiting ?? 0,
            members: members.get(id) ?? {},
          };
        })
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
      nodes: shown,
      nodesLeftOut: seenNodes.length - shown.length,
    };
  },
};

/** More fit no screen. */
const MAX_NODES = 2_000;

/** Those of which something was said first. */
function busiest(world: World, nodes: readonly NodeRecord[], said: ReadonlyMap<string, NodeLoad>) {
  return nodes
    .map((node) => {
      const load = said.get(node.id);
      return {
        id: node.id,
        name: node.name,
        online: isOnline(world, node.id),
        inFlight: load?.inFlight ?? null,
        engineRunning: load?.engineRunning ?? null,
        engineWaiting: load?.engineWaiting ?? null,
        kvCacheUsed: load?.kvCacheUsed ?? null,
        latencyMs: load?.latencyMs ?? null,
        // Gateways hear of a drain a little later, and of an idle node they may say nothing.
        standing: node.drain === undefined ? (load?.standing ?? null) : ('draining' as const),
      };
    })
    .sort((a, b) => (b.inFlight ?? -1) - (a.inFlight ?? -1) || (a.name < b.name ? -1 : 1))
    .slice(0, MAX_NODES);
}

function quantiles(times: LogHistogram | undefined): { p50: number; p95: number } | null {
  const [p50, p95] = [times?.quantileMs(0.5) ?? null, times?.quantileMs(0.95) ?? null];
  return p50 === null || p95 === null ? null : { p50, p95 };
}

/** Memberships by state, of these Subclouds. */
function membersOf(world: World, subclouds: ReadonlySet<string>): Map<string, Record<string, number>> {
  const counts = new Map<string, Record<string, number>>();
  for (const node of world.nodes.values()) {
    for (const [id, { state }] of node.memberships) {
      if (!subclouds.has(id)) continue;
      const ofSubcloud = counts.get(id) ?? {};
      ofSubcloud[state] = (ofSubcloud[state] ?? 0) + 1;
      counts.set(id, ofSubcloud);
    }
  }
  return counts;
}

function leased({ leases, loop }: ApiContext): number {
  return [...loop.world.gateways.keys()].filter((id) => leases.of(id) !== undefined).length;
}

/**
 * Tells control what this gateway still has in flight at nodes that are out of service, so that an operator learns when
 * nothing is. A count is told with the table of the moment: by a table that says that the node is out, it only sinks.
 * Nothing of the request path knows of this: the links are looked at, and only while some node is out.
 */
import { HEARTBEAT_MS } from '@subcloud/contract/link';
import type { ReportEvent } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';
import type { RoutingTable } from '../table/routing-table.ts';
import type { NodeLink } from './node-link.ts';

const LOOK_MS = 200;

export interface DrainedNodesOptions {
  readonly clock: Clock;
  readonly table: () => Pick<RoutingTable, 'version' | 'draining'>;
  readonly links: { get(node: string): Pick<NodeLink, 'inFlight'> | undefined };
  readonly report: (event: ReportEvent) => void;
}

export function watchDrainedNodes({ clock, table, links, report }: DrainedNodesOptions): { stop(): void } {
  let told = new Map<string, number>();
  let allToldMs = Number.NEGATIVE_INFINITY;
  const timer = clock.every(LOOK_MS, () => {
    const { version: tableVersion, draining } = table();
    if (draining.size === 0) {
      if (told.size > 0) told = new Map();
      return;
    }
    const nowMs = clock.monotonicMs();
    // What was lost on the way is made good with the next heartbeat.
    const isAll = nowMs - allToldMs >= HEARTBEAT_MS;
    if (isAll) allToldMs = nowMs;
    const before = isAll ? new Map<string, number>() : told;
    told = new Map();
    for (const node of draining) {
      // Also of one that is not linked: control counts nothing for what is not said.
      const requests = links.get(node)?.inFlight ?? 0;
      told.set(node, requests);
      if (before.get(node) !== requests) report({ type: 'in-flight', node, tableVersion, requests });
    }
  });
  return { stop: () => timer.cancel() };
}

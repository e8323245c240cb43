/** Gathers what one report says of nodes' links; nothing of it counts before the report is stored. */
import type { ReportEvent } from '@subcloud/contract/watch';
import type { NewEvent } from '../store/events.ts';
import type { NodeRecord, World } from '../world/world.ts';
import { type NodeAlerts, refusedEvent, withDeclared, withMove, withRefusedLink } from './node-alerts.ts';

export interface NotedAlerts {
  linkedFrom(node: NodeRecord, address: string): void;
  declared(node: NodeRecord, issuedAtMs: number): void;
  refused(event: Extract<ReportEvent, { type: 'link-refused' }>): void;
  /** To the world. */
  apply(): void;
}

/** `events` gets those that are news. */
export function nodeAlertsOf(world: World, gateway: string, events: NewEvent[], nowMs: number): NotedAlerts {
  const noted = new Map<NodeRecord, NodeAlerts>();
  const alertsOf = (node: NodeRecord): NodeAlerts | undefined => noted.get(node) ?? node.alerts;
  return {
    linkedFrom(node, address) {
      if (node.address === null || node.address === address) return;
      noted.set(node, withMove(alertsOf(node), { from: node.address, to: address, atMs: nowMs }));
    },
    declared(node, issuedAtMs) {
      noted.set(node, withDeclared(alertsOf(node), issuedAtMs, nowMs));
    },
    refused(event) {
      const node = world.nodes.get(event.node);
      if (node === undefined) return;
      const { alerts, isNews } = withRefusedLink(alertsOf(node), event, nowMs);
      noted.set(node, alerts);
      if (isNews) events.push(refusedEvent(node.id, gateway, event));
    },
    apply() {
      for (const [node, alerts] of noted) node.alerts = alerts;
    },
  };
}

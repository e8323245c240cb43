/** Which gateway has a link to which node. Not stored: a gateway tells all of it after each new watch. */
import type { ReportsRequest } from '@subcloud/contract/watch';
import type { LinkRecord, World } from '../world/world.ts';

export type LinkState = NonNullable<ReportsRequest['links']>[number];

export interface LinkChanges {
  readonly gateway: string;
  /** Null: the gateway has no link to the node. */
  readonly changes: ReadonlyMap<string, LinkRecord | null>;
}

/** What the whole set of a gateway's links changes: what it does not name is gone. */
export function wholeLinks(world: World, gateway: string, links: readonly LinkState[]): LinkChanges {
  const changes = new Map<string, LinkRecord | null>();
  for (const [node, known] of world.links) if (known.some((link) => link.gateway === gateway)) changes.set(node, null);
  for (const { node, address } of links) changes.set(node, { gateway, address });
  return { gateway, changes };
}

export function linkEvents({ gateway, events }: ReportsRequest): LinkChanges {
  const changes = new Map<string, LinkRecord | null>();
  for (const event of events) {
    if (event.type === 'linked') changes.set(event.node, { gateway, address: event.address });
    if (event.type === 'unlinked') changes.set(event.node, null);
  }
  return { gateway, changes };
}

export function applyLinks(world: World, { gateway, changes }: LinkChanges, nowMs: number): void {
  for (const [node, link] of changes) {
    const others = (world.links.get(node) ?? []).filter((other) => other.gateway !== gateway);
    const next = link === null || !world.nodes.has(node) ? others : [...others, link];
    if (next.length > 0) world.links.set(node, next);
    else if (world.links.delete(node)) {
      const record = world.nodes.get(node);
      if (record !== undefined) record.lastSeenAtMs = nowMs;
    }
  }
}

/**
 * Places at a node: how many requests it takes at once, and how many of them a pool may have. A node's concurrency is
 * its operator's word (`agent.yaml`); a pool's share of it too; what other pools have reserved there is the manifests'.
 */
import { LINK_MAX_CONCURRENT_STREAMS } from '@subcloud/contract/link';
import type { MemberRow, NodeRow } from '@subcloud/contract/table';
import type { NodeLink } from '../link/node-link.ts';
import type { WaitingRoom } from './waiting-room.ts';

/** What one pool has reserved at one node. */
export interface Reserved {
  readonly pool: string;
  readonly places: number;
}
/** By node; a node at which nobody has reserved anything is not in it. */
export type Reserves = ReadonlyMap<string, readonly Reserved[]>;

export type Load = Pick<NodeLink, 'inFlight' | 'inFlightByPool'>;

/** Requests that the node takes at once, over all pools. */
export function placesOf(node: Pick<NodeRow, 'concurrency'>): number {
  return Math.min(node.concurrency ?? LINK_MAX_CONCURRENT_STREAMS, LINK_MAX_CONCURRENT_STREAMS);
}

/** Of them those that the member's pool may have: its operator's `share`, and at least one. */
export function placesFor({ share }: Pick<MemberRow, 'share'>, places: number): number {
  return share === undefined ? places : Math.max(1, Math.floor(share * places + 1e-9));
}

/** Whether one request more fits: under the node's concurrency, the pool's share, and what others have reserved. */
export function hasPlace(member: MemberRow, node: NodeRow, load: Load, reserves: Reserves | undefined): boolean {
  const places = placesOf(node);
  if (load.inFlight >= places) return false;
  if (member.share !== undefined && inFlightOf(load, member.pool) >= placesFor(member, places)) return false;
  const reserved = reserves?.get(member.node);
  return reserved === undefined || load.inFlight + heldForOthers(reserved, member.pool, load) < places;
}

/** Places that nobody uses and that are not this pool's to take. */
function heldForOthers(reserved: readonly Reserved[], pool: string, load: Load): number {
  let held = 0;
  for (const other of reserved)
    if (other.pool !== pool) held += Math.max(0, other.places - inFlightOf(load, other.pool));
  return held;
}

export function inFlightOf({ inFlightByPool }: Load, pool: string): number {
  return inFlightByPool.get(pool) ?? 0;
}

/** Takes a place at the node, in all counts; what that returns gives it back. */
export function placeIn(
  room: Pick<WaitingRoom, 'started' | 'ended'>,
  link: NodeLink,
  {
    pool,
    credential,
  }: { readonly pool: { readonly name: string }; readonly credential: { readonly principal: string } },
): () => () => void {
  return () => {
    const placed = room.started(pool.name, credential.principal);
    link.inFlight += 1;
    link.inFlightByPool.set(pool.name, inFlightOf(link, pool.name) + 1);
    return () => {
      link.inFlight -= 1;
      const left = inFlightOf(link, pool.name) - 1;
      if (left > 0) link.inFlightByPool.set(pool.name, left);
      else link.inFlightByPool.delete(pool.name);
      room.ended(placed);
    };
  };
}

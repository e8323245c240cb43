/**
 * `sla.capacity.reserve`, worked out for nodes: what a pool reserves over all its members is spread over those that are
 * linked here, in proportion to the places that it may have at each. Where a pool reserves more than its members have,
 * and where the pools at one node reserve more than it has, they get less in proportion.
 *
 * It is worked out when the table or the time since the last has changed, for reserving pools alone: a network in which
 * nobody reserves pays nothing. A reserve holds back capacity and lets nobody in, so one that is 200 ms old leaks nothing.
 */
import type { MemberRow } from '@subcloud/contract/table';
import type { NodeLink } from '../link/node-link.ts';
import type { RoutingTable } from '../table/routing-table.ts';
import { type Reserved, type Reserves, placesFor, placesOf } from './places.ts';

/** Nodes come and go, and the table changes often: at least so long between two times, but for a changed reserve. */
const VALID_MS = 200;

export interface LinkedMember {
  readonly node: string;
  /** Requests that the node takes at once. */
  readonly places: number;
  /** Of them those that the pool may have. */
  readonly usable: number;
}
export interface ReservingPool {
  readonly name: string;
  readonly reserve: number;
  readonly members: readonly LinkedMember[];
}

/** Pure. Pools and members in any order give the same. */
export function spreadReserves(pools: readonly ReservingPool[]): Map<string, Reserved[]> {
  const byNode = new Map<string, { readonly places: number; readonly wants: Reserved[] }>();
  for (const { name, reserve, members } of pools) {
    const sorted = [...members].sort((a, b) => (a.node < b.node ? -1 : 1));
    const usable = sorted.map((member) => member.usable);
    const parts = apportion(reserve, usable);
    sorted.forEach(({ node, places }, index) => {
      const part = parts[index] ?? 0;
      if (part === 0) return;
      let here = byNode.get(node);
      if (here === undefined) byNode.set(node, (here = { places, wants: [] }));
      here.wants.push({ pool: name, places: part });
    });
  }
  return new Map([...byNode].map(([node, { places, wants }]) => [node, withinPlaces(wants, places)]));
}

function withinPlaces(wants: readonly Reserved[], places: number): Reserved[] {
  const sorted = [...wants].sort((a, b) => (a.pool < b.pool ? -1 : 1));
  const parts = apportion(
    places,
    sorted.map((want) => want.places),
  );
  return sorted.map(({ pool }, index) => ({ pool, places: parts[index] ?? 0 })).filter((part) => part.places > 0);
}

/** At most `whole` in all, none more than it asks, in proportion, by largest remainder. */
export function apportion(whole: number, asked: readonly number[]): number[] {
  const sum = asked.reduce((total, one) => total + one, 0);
  if (sum <= whole) return [...asked];
  const exact = asked.map((one) => (one * whole) / sum);
  const parts = exact.map(Math.floor);
  let left = whole - parts.reduce((total, one) => total + one, 0);
  const byRemainder = exact.map((value, index) => ({ index, rest: value - (parts[index] ?? 0) }));
  byRemainder.sort((a, b) => b.rest - a.rest || a.index - b.index);
  for (const { index } of byRemainder) {
    if (left <= 0) break;
    parts[index] = (parts[index] ?? 0) + 1;
    left -= 1;
  }
  return parts;
}

type Links = { get(node: string): Pick<NodeLink, 'closed' | 'draining'> | undefined };

/** Keeps them for the table of the moment. */
export class ReserveKeeper {
  #pools: RoutingTable['pools'] | undefined;
  #reserving: { readonly name: string; readonly reserve: number }[] = [];
  #reserves: Reserves | undefined;
  #atMs = Number.NEGATIVE_INFINITY;

  /** Undefined where nobody reserves. */
  of(table: RoutingTable, links: Links, nowMs: number): Reserves | undefined {
    if (table.pools !== this.#pools) this.#look(table);
    if (this.#reserving.length === 0) return undefined;
    if (nowMs - this.#atMs >= VALID_MS) {
      this.#atMs = nowMs;
      this.#reserves = spreadReserves(
        this.#reserving.map((pool) => ({ ...pool, members: linked(table, pool.name, links) })),
      );
    }
    return this.#reserves;
  }

  #look({ pools }: RoutingTable): void {
    this.#pools = pools;
    const reserving: { name: string; reserve: number }[] = [];
    for (const { name, reserve } of pools.values()) if (reserve !== undefined) reserving.push({ name, reserve });
    const same =
      reserving.length === this.#reserving.length &&
      reserving.every(({ name, reserve }, index) => {
        const before = this.#reserving[index];
        return before?.name === name && before.reserve === reserve;
      });
    if (same) return;
    this.#reserving = reserving;
    this.#atMs = Number.NEGATIVE_INFINITY;
  }
}

function linked(table: RoutingTable, pool: string, links: Links): LinkedMember[] {
  const members: LinkedMember[] = [];
  for (const member of table.poolIndexes.get(pool)?.members.values() ?? []) {
    const link = links.get(member.node);
    const node = table.nodes.get(member.node);
    if (link === undefined || link.closed || link.draining || node === undefined || node.draining === true) continue;
    members.push(linkedMember(member, placesOf(node)));
  }
  return members;
}

function linkedMember(member: MemberRow, places: number): LinkedMember {
  return { node: member.node, places, usable: placesFor(member, places) };
}

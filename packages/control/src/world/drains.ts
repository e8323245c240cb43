/**
 * Nodes that their operators have taken out of service. Stored is that they are, since when and by whom: it lasts over
 * restarts until somebody ends it. How far it is, is known in memory alone: from which table version on gateways pick the
 * node no more, and what each of them says is still in flight there. What was said by an earlier table counts for nothing,
 * since something may have been sent there after it.
 *
 * It is not the state `draining` of a membership, in which a node leaves one pool: a drained node leaves none.
 */
import type { ReportEvent } from '@subcloud/contract/watch';
import type { Drain } from '@subcloud/contract/routes/shapes';
import { absenceCounts } from '../membership/absence.ts';
import type { Leases } from '../watch/leases.ts';
import type { NodeRecord, World } from './world.ts';

export interface NodeDrain {
  readonly sinceMs: number;
  readonly by: string;
  readonly reason: string | null;
  /** The first table that says so, of this run of control; 0: none is published yet. */
  tableVersion: number;
  /** By gateway, what it said last by that table or a later one. */
  readonly inFlight: Map<string, number>;
}

export function newDrain(sinceMs: number, by: string, reason: string | null): NodeDrain {
  return { sinceMs, by, reason, tableVersion: 0, inFlight: new Map() };
}

/** What is known of a drain in memory outlives that the store is read again. */
export function keepDrain(old: NodeRecord, fresh: NodeRecord): void {
  if (old.drain !== undefined && old.drain.sinceMs === fresh.drain?.sinceMs) fresh.drain = old.drain;
}

/** After a pass that has published: from here on no gateway picks the node by the newest table. */
export function notePublished(node: NodeRecord | undefined, tableVersion: number): void {
  if (node?.drain?.tableVersion === 0) node.drain.tableVersion = tableVersion;
}

export function noteInFlight(world: World, gateway: string, event: Extract<ReportEvent, { type: 'in-flight' }>): void {
  const drain = world.nodes.get(event.node)?.drain;
  if (drain === undefined || drain.tableVersion === 0 || event.tableVersion < drain.tableVersion) return;
  drain.inFlight.set(gateway, event.requests);
}

export interface DrainView {
  readonly world: World;
  readonly leases: Pick<Leases, 'concluded' | 'gateways'>;
  readonly startedAtMs: number;
  readonly nowMs: number;
}

/**
 * Over all gateways that may have something there; null while one of them has not said what. That control knows no link
 * of a gateway to the node says nothing: the word of it may be under way.
 */
export function inFlightAt({ world, leases, startedAtMs, nowMs }: DrainView, node: NodeRecord): number | null {
  const { drain } = node;
  if (drain === undefined || drain.tableVersion === 0) return null;
  // Who is silent finishes what it has; after the time that answers are waited for, it is waited for no longer.
  const silent = absenceCounts(world, startedAtMs, nowMs) ? [] : world.unheard.keys();
  const linked = (world.links.get(node.id) ?? []).map(({ gateway }) => gateway);
  let sum = 0;
  for (const gateway of new Set([...leases.gateways(), ...linked, ...silent])) {
    const requests = drain.inFlight.get(gateway);
    if (requests === undefined) return null;
    sum += requests;
  }
  return sum;
}

/** Undefined: it is in service. */
export function drainView(view: DrainView, node: NodeRecord): Drain | undefined {
  const { drain } = node;
  if (drain === undefined) return undefined;
  const { sinceMs, by, reason, tableVersion } = drain;
  const inFlight = inFlightAt(view, node);
  const isKnown = tableVersion > 0 && view.leases.concluded(tableVersion);
  const state = isKnown && inFlight === 0 ? 'drained' : 'draining';
  return { since: new Date(sinceMs).toISOString(), by, reason, state, inFlight };
}

/** Who may not be in a Subcloud, or in the network at all: nodes, operators with all their nodes, and callers. */
import type { PrincipalId } from '@subcloud/policy/principal';
import { groupsOf } from './groups.ts';
import { GLOBAL_ID, type NodeRecord, type World } from './world.ts';

export type BanKind = 'node' | 'operator' | 'account';

export interface BanRecord {
  readonly id: string;
  /** A ban from `global` is one from the network: from every pool. */
  readonly subcloudId: string;
  readonly kind: BanKind;
  /** A node's id, or a principal. */
  readonly subject: string;
  readonly reason: string | null;
  readonly by: string;
  readonly atMs: number;
}

/** Ids of the Subclouds that the node may not be in; undefined: it is banned from none. */
export function bannedFrom(
  world: Pick<World, 'bans' | 'subclouds'>,
  node: NodeRecord,
): ReadonlySet<string> | undefined {
  if (world.bans.size === 0) return undefined;
  let from: Set<string> | undefined;
  for (const ban of world.bans.values()) {
    if (!concerns(ban, node)) continue;
    from ??= new Set();
    if (ban.subcloudId === GLOBAL_ID) for (const id of world.subclouds.keys()) from.add(id);
    else from.add(ban.subcloudId);
  }
  return from;
}

function concerns({ kind, subject }: BanRecord, node: NodeRecord): boolean {
  return kind === 'node' ? subject === node.id : kind === 'operator' && subject === node.operator;
}

/** Nodes that the ban takes out, or that come free when it is lifted. */
export function nodesConcerned(world: Pick<World, 'nodes'>, ban: BanRecord): string[] {
  return [...world.nodes.values()].filter((node) => concerns(ban, node)).map(({ id }) => id);
}

/** Whether a caller, or a team or organisation that it belongs to, is banned from the network. */
export function isBannedCaller(world: World, caller: PrincipalId): boolean {
  if (world.bans.size === 0) return false;
  const who = new Set([caller, ...groupsOf(world, caller)]);
  for (const { kind, subject, subcloudId } of world.bans.values())
    if (kind === 'account' && subcloudId === GLOBAL_ID && who.has(subject as PrincipalId)) return true;
  return false;
}

/** By Subcloud id: callers that are banned from it alone, sorted. From the network is another matter: see `isBannedCaller`. */
export function bannedCallers(world: Pick<World, 'bans'>): ReadonlyMap<string, readonly PrincipalId[]> {
  const bySubcloud = new Map<string, PrincipalId[]>();
  for (const { kind, subject, subcloudId } of world.bans.values()) {
    if (kind !== 'account' || subcloudId === GLOBAL_ID) continue;
    const banned = bySubcloud.get(subcloudId);
    if (banned === undefined) bySubcloud.set(subcloudId, [subject as PrincipalId]);
    else banned.push(subject as PrincipalId);
  }
  for (const banned of bySubcloud.values()) banned.sort();
  return bySubcloud;
}

/** Whether an operator may bring no node into the network. */
export function isBannedOperator(world: Pick<World, 'bans'>, operator: PrincipalId): boolean {
  for (const { kind, subject, subcloudId } of world.bans.values())
    if (kind === 'operator' && subject === operator && subcloudId === GLOBAL_ID) return true;
  return false;
}

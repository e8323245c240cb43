/**
 * What the Network manifest says of isolating, in force: who may, and how many nodes auto-join may take out of other pools
 * by it. Who is counted follows from the store; the two sets here are kept because counting again at every change would
 * cost the whole fleet.
 */
import type { IsolationRules, Share } from '../membership/reconcile.ts';
import { DEFAULT_ISOLATION_SHARE } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import { percentOf } from '@subcloud/policy/units';
import { GLOBAL_ID, type SubcloudRecord, type World } from './world.ts';

export interface IsolationShare {
  /** Nodes that auto-join has taken out of other pools. */
  readonly counts: Set<string>;
  /** Nodes that it would take, were the share not taken. */
  readonly wants: Set<string>;
}

export function noShare(): IsolationShare {
  return { counts: new Set(), wants: new Set() };
}

/** Whether the Network manifest lets Subclouds of this owner isolate. An organisation stands for its teams. */
export function mayIsolate(subclouds: ReadonlyMap<string, SubcloudRecord>, owner: PrincipalId): boolean {
  const allowedTo = subclouds.get(GLOBAL_ID)?.network?.spec.isolation.allowedTo;
  if (allowedTo === undefined) return true;
  const organisation = /^team:([^/]+)\//.exec(owner)?.[1];
  return allowedTo.some((principal) => principal === owner || principal === `org:${organisation ?? ''}`);
}

/** How many nodes auto-join may take out of other pools. */
export function shareLimit({ subclouds, nodes }: Pick<World, 'nodes'> & ShareSubclouds): number {
  return limitOf(subclouds, nodes.size);
}
interface ShareSubclouds {
  readonly subclouds: ReadonlyMap<string, SubcloudRecord>;
}

export function limitOf(subclouds: ReadonlyMap<string, SubcloudRecord>, nodes: number): number {
  return percentOf(subclouds.get(GLOBAL_ID)?.network?.spec.isolation.maxShare ?? DEFAULT_ISOLATION_SHARE, nodes);
}

export function isolationRules(subclouds: ReadonlyMap<string, SubcloudRecord>, mayTake: boolean): IsolationRules {
  return { allows: (owner) => mayIsolate(subclouds, owner), mayTake };
}

/** As they stand for one node that is asked about: it has its place already, or there is a free one. */
export function rulesFor(world: World, node: string): IsolationRules {
  const { counts } = world.isolationShare;
  return isolationRules(world.subclouds, counts.has(node) || counts.size < shareLimit(world));
}

export function noteShare({ counts, wants }: IsolationShare, node: string, share: Share): void {
  if (share === 'counts') counts.add(node);
  else counts.delete(node);
  if (share === 'wants') wants.add(node);
  else wants.delete(node);
}

/**
 * The one place where rights are decided. The admin may do everything; a principal what the table says of its own
 * Subclouds, nodes and join tokens. Whoever may not know of a thing gets what one gets for a thing that does not exist.
 */
import { AppError } from '@subcloud/contract/errors';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { NodeRecord, SubcloudRecord, World } from '../world/world.ts';
import type { Actor } from './actor.ts';

/** Throws policy.forbidden unless the actor is the admin, or acts for `principal`. */
export function requirePrincipal(actor: Actor, principal: PrincipalId, what: string): void {
  if (actor.kind === 'admin' || (actor.kind === 'principal' && actor.principal === principal)) return;
  throw new AppError('policy.forbidden', { message: `This credential may not ${what} for ${principal}.` });
}

export function isOwner(actor: Actor, subcloud: SubcloudRecord): boolean {
  return actor.kind === 'admin' || (actor.kind === 'principal' && subcloud.owner === actor.principal);
}

export function isOperator(actor: Actor, node: NodeRecord): boolean {
  return actor.kind === 'admin' || (actor.kind === 'principal' && node.operator === actor.principal);
}

/** Owner and admin know a Subcloud, and so does the operator of a node that it invited or holds. */
export function mayKnow(actor: Actor, subcloud: SubcloudRecord, world: World): boolean {
  if (isOwner(actor, subcloud)) return true;
  if (actor.kind !== 'principal') return false;
  for (const node of world.nodes.values()) {
    if (node.operator !== actor.principal) continue;
    const state = node.memberships.get(subcloud.id)?.state;
    if (state === 'invited' || state === 'active' || state === 'suspended') return true;
  }
  return false;
}

/** The Subcloud of this name if the actor may do to it what its owner may. Throws client.not_found, or policy.forbidden if it may know of it. */
export function ownedSubcloud(actor: Actor, world: World, name: string): SubcloudRecord {
  const subcloud = knownSubcloud(actor, world, name);
  if (!isOwner(actor, subcloud))
    throw new AppError('policy.forbidden', { message: `Only the owner of ${name} may do this.` });
  return subcloud;
}

/** Throws client.not_found for what does not exist and for what the actor may not know of, with the same bytes. */
export function knownSubcloud(actor: Actor, world: World, name: string): SubcloudRecord {
  const subcloud = world.subclouds.get(world.subcloudByName.get(name) ?? '');
  if (subcloud === undefined || !mayKnow(actor, subcloud, world))
    throw new AppError('client.not_found', {
      message: `There is no Subcloud ${name}, or this credential may not know of it.`,
    });
  return subcloud;
}

/** Throws client.not_found for what does not exist and for what the actor does not operate, with the same bytes. */
export function operatedNode(actor: Actor, world: World, id: string): NodeRecord {
  const node = world.nodes.get(id);
  if (node === undefined || !isOperator(actor, node)) throw nodeNotFound(id);
  return node;
}

export function nodeNotFound(id: string): AppError {
  return new AppError('client.not_found', {
    message: `There is no node ${id}, or this credential may not know of it.`,
  });
}

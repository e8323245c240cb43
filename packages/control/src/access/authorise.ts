/**
 * The one place where rights are decided. The admin may do everything; a principal what the table says of its own
 * Subclouds, nodes and join tokens. Whoever may not know of a thing gets what one gets for a thing that does not exist.
 */
import { AppError } from '@subcloud/contract/errors';
import type { PrincipalId } from '@subcloud/policy/principal';
import { nodesServing } from '../facts/audits.ts';
import type { AttesterRecord, NodeRecord, SubcloudRecord, World } from '../world/world.ts';
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
    if (state !== undefined && state !== 'left' && state !== 'removed') return true;
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

interface ClaimParties {
  readonly node_id: string | null;
  readonly digest: string | null;
  readonly issuer_owner: string | null;
}

/** The operator reads what is said of its nodes (of their models only what the network's attesters say), an attester's owner what it said. */
export function mayReadClaim(actor: Actor, claim: ClaimParties, world: World): boolean {
  if (mayRevokeClaim(actor, claim)) return true;
  if (actor.kind !== 'principal') return false;
  if (claim.node_id !== null) return world.nodes.get(claim.node_id)?.operator === actor.principal;
  if (claim.digest === null || claim.issuer_owner !== null) return false;
  return nodesServing(world, claim.digest).some(({ operator }) => operator === actor.principal);
}

export function mayRevokeClaim(actor: Actor, claim: Pick<ClaimParties, 'issuer_owner'>): boolean {
  return actor.kind === 'admin' || (actor.kind === 'principal' && claim.issuer_owner === actor.principal);
}

export function claimNotFound(id: string): AppError {
  return new AppError('client.not_found', {
    message: `There is no claim ${id}, or this credential may not know of it.`,
  });
}

/** The attester if the actor may revoke it. Throws client.not_found for what does not exist and for what is not its own, with the same bytes. */
export function ownedAttester(actor: Actor, world: World, name: string): AttesterRecord {
  const attester = world.attesters.get(name);
  const owns =
    actor.kind === 'admin' ||
    (actor.kind === 'principal' && attester !== undefined && attester.owner === actor.principal);
  if (attester === undefined || !owns)
    throw new AppError('client.not_found', {
      message: `There is no attester ${name}, or this credential may not revoke it.`,
    });
  return attester;
}

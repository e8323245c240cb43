/**
 * The one place where rights are decided: by the table in rights.ts, for the action of the route that was called, on what
 * the actor is to the thing. Whoever may not know of a thing gets what one gets for a thing that does not exist.
 */
import { AppError } from '@subcloud/contract/errors';
import type { Action } from '@subcloud/contract/routes/actions';
import type { PrincipalId } from '@subcloud/policy/principal';
import { type AttesterRecord, GLOBAL_ID, type NodeRecord, type SubcloudRecord, type World } from '../world/world.ts';
import type { Actor } from './actor.ts';
import { RIGHTS, type Role, needsResource } from './rights.ts';
import { type ClaimParties, type Resource, rolesOf } from './roles-of.ts';

/** As what each actor was last given its route's action: what the audit log says of a write. */
const given = new WeakMap<Actor, Role>();

/** Whether the table gives the actor the action on the thing; default: the action of the route that was called. */
export function may(world: World, actor: Actor, resource: Resource, action: Action = actor.action): boolean {
  const allowed = RIGHTS[action];
  for (const role of rolesOf(world, actor, resource)) {
    if (!allowed.includes(role)) continue;
    if (action === actor.action) given.set(actor, role);
    return true;
  }
  return false;
}

/** The role by which the actor was given its route's action; what kind of caller it is where nothing was. */
export function roleOf(actor: Actor): string {
  return given.get(actor) ?? actor.kind;
}

/** Throws client.unauthenticated where nobody can be told the answer without a credential. */
export function requireCredential(world: World, actor: Actor): void {
  if (actor.kind === 'anonymous' && !may(world, actor, { kind: 'network' }))
    throw new AppError('client.unauthenticated');
}

/** What a route asks of the caller before anything is looked up. Throws policy.forbidden where no thing could change the answer. */
export function permit(world: World, actor: Actor): void {
  if (needsResource(actor.action) || may(world, actor, { kind: 'network' })) return;
  throw new AppError('policy.forbidden', {
    message: `This credential may not ${words(actor.action)}: only the network's admin may.`,
  });
}

/** Throws policy.forbidden unless the table gives the actor the route's action on what belongs to `principal`; null: to the network. */
export function requirePrincipal(world: World, actor: Actor, principal: PrincipalId | null, what: string): void {
  if (may(world, actor, { kind: 'principal', principal })) return;
  throw new AppError('policy.forbidden', {
    message: `This credential may not ${what} for ${principal ?? 'the network'}.`,
  });
}

export function mayForPrincipal(world: World, actor: Actor, principal: PrincipalId | null, action?: Action): boolean {
  return may(world, actor, { kind: 'principal', principal }, action);
}

/** For whom the actor may do the action: everybody, or these. Never empty for a principal that may do it for itself. */
export function principalsFor(
  world: World,
  actor: Actor,
  action: Action = actor.action,
): 'all' | readonly PrincipalId[] {
  const check = (principal: PrincipalId): boolean => mayForPrincipal(world, actor, principal, action);
  if (may(world, actor, { kind: 'network' }, action) && needsResource(action)) return 'all';
  if (actor.kind !== 'principal') return [];
  const { teams, groups } = world.people;
  // Who runs an organisation runs its teams without being in them.
  const above = [...teams.values()].filter(({ organisation }) => groups.get(actor.principal)?.has(organisation));
  const candidates = [...(groups.get(actor.principal) ?? []), ...above.map(({ id }) => id)];
  return [...new Set([actor.principal, ...candidates])].filter(check);
}

/** Whether the actor may see of a Subcloud why nodes are in it or not, as its owner does. */
export function seesAll(actor: Actor, subcloud: SubcloudRecord, world: World): boolean {
  return may(world, actor, { kind: 'subcloud', subcloud }, 'subcloud.explain');
}

/** Whether the actor may see the node, as its operator does. */
export function seesNode(actor: Actor, node: NodeRecord, world: World): boolean {
  return may(world, actor, { kind: 'node', node }, 'node.read');
}

export function mayKnow(actor: Actor, subcloud: SubcloudRecord, world: World): boolean {
  return may(world, actor, { kind: 'subcloud', subcloud }, 'subcloud.read');
}

/** The Subcloud of this name if the actor may do the route's action to it. Throws client.not_found, or policy.forbidden if it may know of it. */
export function ownedSubcloud(actor: Actor, world: World, name: string): SubcloudRecord {
  const subcloud = knownSubcloud(actor, world, name);
  if (!may(world, actor, { kind: 'subcloud', subcloud }))
    throw new AppError('policy.forbidden', { message: `This credential may not ${words(actor.action)} of ${name}.` });
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

/** The node if the actor may do the action to it. Throws client.not_found like for one that does not exist, or policy.forbidden if it may read it. */
export function operatedNode(actor: Actor, world: World, id: string, action: Action = actor.action): NodeRecord {
  const node = world.nodes.get(id);
  if (node === undefined) throw nodeNotFound(id);
  if (may(world, actor, { kind: 'node', node }, action)) return node;
  if (!seesNode(actor, node, world)) throw nodeNotFound(id);
  throw new AppError('policy.forbidden', { message: `This credential may not ${words(actor.action)} of ${id}.` });
}

/**
 * The node and the Subcloud if the actor may know why the one is in the other: who may see the node asks about what it may
 * know of and about `global`, who may explain the Subcloud about nodes that are or were in it.
 */
export function explainable(
  actor: Actor,
  world: World,
  name: string,
  nodeId: string,
): { readonly subcloud: SubcloudRecord; readonly node: NodeRecord } {
  const node = world.nodes.get(nodeId);
  const operated = node !== undefined && seesNode(actor, node, world);
  const global = world.subclouds.get(GLOBAL_ID);
  const subcloud = operated && name === 'global' && global !== undefined ? global : knownSubcloud(actor, world, name);
  if (node === undefined || !(operated || (node.memberships.has(subcloud.id) && seesAll(actor, subcloud, world))))
    throw nodeNotFound(nodeId);
  return { subcloud, node };
}

export function nodeNotFound(id: string): AppError {
  return new AppError('client.not_found', {
    message: `There is no node ${id}, or this credential may not know of it.`,
  });
}

export function mayReadClaim(actor: Actor, claim: ClaimParties, world: World): boolean {
  return may(world, actor, { kind: 'claim', claim }, 'claim.read');
}

export function claimNotFound(id: string): AppError {
  return new AppError('client.not_found', {
    message: `There is no claim ${id}, or this credential may not know of it.`,
  });
}

/** The attester if the actor may do the route's action to it. Throws client.not_found for what does not exist and for what is not its own, with the same bytes. */
export function ownedAttester(actor: Actor, world: World, name: string): AttesterRecord {
  const attester = world.attesters.get(name);
  if (attester === undefined || !mayForPrincipal(world, actor, attester.owner))
    throw new AppError('client.not_found', {
      message: `There is no attester ${name}, or this credential may not revoke it.`,
    });
  return attester;
}

/** `joinToken.create` -> `create a join token`: close enough for a sentence. */
function words(action: Action): string {
  const [noun = '', verb = ''] = action.split('.');
  return `${verb.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)} (${noun})`;
}

/** What an actor is to a thing: the roles that access/rights.ts speaks of, from who belongs to whom. Pure. */
import type { PrincipalId } from '@subcloud/policy/principal';
import { nodesServing } from '../facts/audits.ts';
import type { People } from '../world/people.ts';
import type { NodeRecord, SubcloudRecord, World } from '../world/world.ts';
import type { Who } from './actor.ts';
import { RIGHTS, type Role } from './rights.ts';

/** What may be asked about. */
export type Resource =
  /** Nothing in particular. */
  | { readonly kind: 'network' }
  /** What belongs to or is about this principal; null: the network itself. */
  | { readonly kind: 'principal'; readonly principal: PrincipalId | null }
  | { readonly kind: 'subcloud'; readonly subcloud: Owned }
  | { readonly kind: 'node'; readonly node: Operated }
  | { readonly kind: 'claim'; readonly claim: ClaimParties }
  /** A request of `caller` for the pool, undefined where that is gone. */
  | { readonly kind: 'request'; readonly caller: PrincipalId | null; readonly pool: Owned | undefined };

/** Of a Subcloud, also of one that is gone. */
export type Owned = Pick<SubcloudRecord, 'id' | 'owner'>;
/** Of a node, also of one that is gone. */
export type Operated = Pick<NodeRecord, 'id' | 'operator' | 'memberships'>;

export interface ClaimParties {
  readonly node_id: string | null;
  readonly digest: string | null;
  readonly issuer_owner: string | null;
}

const ORGANISATION_ROLES = { owner: 'orgOwner', admin: 'orgAdmin', member: 'orgMember', viewer: 'orgViewer' } as const;
const TEAM_ROLES = { owner: 'teamOwner', admin: 'teamAdmin', member: 'teamMember', viewer: 'teamViewer' } as const;
/** Of whom a Subcloud is delegated to, these manage it. */
const DELEGATED: ReadonlySet<Role> = new Set([
  'self',
  'orgOwner',
  'orgAdmin',
  'orgMember',
  'teamOwner',
  'teamAdmin',
  'teamMember',
]);

/**
 * Every role that `who` has for the thing. What everybody is counts for the network as such alone: a list that is open to
 * every caller opens no thing that stands in it.
 */
export function rolesOf(world: World, who: Who, resource: Resource): ReadonlySet<Role> {
  const roles = networkRolesOf(world.people, who);
  if (resource.kind !== 'network') for (const role of ['anonymous', 'joinToken', 'caller'] as const) roles.delete(role);
  if (who.kind !== 'principal') return roles;
  for (const role of rolesFor(world, who.principal, resource)) roles.add(role);
  return roles;
}

function networkRolesOf(people: People, who: Who): Set<Role> {
  switch (who.kind) {
    case 'anonymous':
      return new Set(['anonymous']);
    case 'joinToken':
      return new Set(['anonymous', 'joinToken']);
    case 'admin':
      return new Set(['anonymous', 'caller', 'networkAdmin']);
    case 'principal': {
      const roles = new Set<Role>(['anonymous', 'caller']);
      const role = people.networkRoles.get(who.principal);
      if (role === 'admin') roles.add('networkAdmin');
      if (role === 'auditor') roles.add('auditor');
      return roles;
    }
  }
}

function rolesFor(world: World, who: PrincipalId, resource: Resource): readonly Role[] {
  switch (resource.kind) {
    case 'network':
      return [];
    case 'principal':
      return standing(world.people, who, resource.principal);
    case 'subcloud':
      return [
        ...subcloudRoles(world, who, resource.subcloud),
        ...(operatesIn(world, who, resource.subcloud) ? (['nodeOperator'] as const) : []),
      ];
    case 'node':
      return [...nodeRoles(world, who, resource.node), ...hostRoles(world, who, resource.node)];
    case 'claim':
      return claimRoles(world, who, resource.claim);
    case 'request':
      return [
        ...(standing(world.people, who, resource.caller).length > 0 ? (['self'] as const) : []),
        ...(resource.pool === undefined ? [] : subcloudRoles(world, who, resource.pool)),
      ];
  }
}

/** What `who` is to another principal: itself, or a member with a role. Owners and admins of an organisation are that of its teams. */
export function standing(people: People, who: PrincipalId, of: PrincipalId | null): readonly Role[] {
  if (of === null) return [];
  if (of === who) return ['self'];
  const serves = people.accounts.get(of)?.organisation;
  if (serves !== undefined && serves !== null) {
    const role = people.organisations.get(serves)?.members.get(who);
    return role === 'owner' || role === 'admin' ? [ORGANISATION_ROLES[role]] : [];
  }
  if (of.startsWith('org:')) {
    const role = people.organisations.get(of)?.members.get(who);
    return role === undefined ? [] : [ORGANISATION_ROLES[role]];
  }
  if (!of.startsWith('team:')) return [];
  const team = people.teams.get(of);
  if (team === undefined) return [];
  const own = team.members.get(who);
  const above = people.organisations.get(team.organisation)?.members.get(who);
  return [
    ...(own === undefined ? [] : [TEAM_ROLES[own]]),
    ...(above === 'owner' || above === 'admin' ? [TEAM_ROLES[above]] : []),
  ];
}

function subcloudRoles(world: World, who: PrincipalId, subcloud: Owned): readonly Role[] {
  const { people } = world;
  const own = standing(people, who, subcloud.owner).map((role) => (role === 'self' ? 'subcloudOwner' : role));
  for (const delegate of people.delegates.get(subcloud.id) ?? []) {
    if (standing(people, who, delegate).some((role) => DELEGATED.has(role))) return [...own, 'delegate'];
  }
  return own;
}

function nodeRoles(world: World, who: PrincipalId, node: Operated): readonly Role[] {
  return standing(world.people, who, node.operator).map((role) => (role === 'self' ? 'nodeOperator' : role));
}

/** Whether somebody for whom `who` may see nodes operates one that the Subcloud holds or has invited. */
function operatesIn(world: World, who: PrincipalId, subcloud: Owned): boolean {
  for (const node of world.nodes.values()) {
    const state = node.memberships.get(subcloud.id)?.state;
    if (state === undefined || state === 'left' || state === 'removed') continue;
    if (nodeRoles(world, who, node).some((role) => RIGHTS['node.read'].includes(role))) return true;
  }
  return false;
}

/** To a node: the owner or delegate of a Subcloud that it is or was in, or asks to be in. */
function hostRoles(world: World, who: PrincipalId, node: Operated): readonly Role[] {
  for (const id of node.memberships.keys()) {
    const subcloud = world.subclouds.get(id);
    if (subcloud === undefined) continue;
    const sees = subcloudRoles(world, who, subcloud).some((role) => RIGHTS['subcloud.explain'].includes(role));
    if (sees) return ['subcloudOwner'];
  }
  return [];
}

/** To what is said of a node its operator's roles; of model weights those of operators who serve them; and its issuer's own. */
function claimRoles(world: World, who: PrincipalId, claim: ClaimParties): readonly Role[] {
  const issuer = standing(world.people, who, claim.issuer_owner as PrincipalId | null);
  const node = claim.node_id === null ? undefined : world.nodes.get(claim.node_id);
  if (node !== undefined) return [...issuer, ...seen(nodeRoles(world, who, node))];
  if (claim.digest === null || claim.issuer_owner !== null) return issuer;
  const operators = nodesServing(world, claim.digest).flatMap((serving) => nodeRoles(world, who, serving));
  return [...issuer, ...seen(operators)];
}

/** Whoever may see a node reads what is said of it, and revokes nothing by that. */
function seen(roles: readonly Role[]): readonly Role[] {
  return roles.some((role) => RIGHTS['node.read'].includes(role)) ? ['nodeOperator'] : [];
}

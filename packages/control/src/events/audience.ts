/**
 * Who may read which event: whoever may read the same by the route for it, at this moment, by the table of rights. An
 * event of a kind that stands in no rule, or about what nobody can be found for, is for readers of the whole network alone.
 *
 * Things that are gone have no record any more; then what the store still says of them (their last owner, their operator)
 * stands in for it, so that the owner of what was deleted hears that it was.
 */
import { type EventKind, isEventKind } from '@subcloud/contract/event-kinds';
import type { Action } from '@subcloud/contract/routes/actions';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Actor } from '../access/actor.ts';
import { may } from '../access/authorise.ts';
import type { Resource } from '../access/roles-of.ts';
import type { World } from '../world/world.ts';
import type { StoredEvent } from './event-log.ts';

type Question = readonly [Action, Resource];
type Rule = (event: StoredEvent, world: World) => readonly Question[];

const NOBODY: readonly Question[] = [];

const ofNode =
  (action: Action): Rule =>
  ({ node }, world) => {
    if (node === null) return NOBODY;
    const record = world.nodes.get(node.id) ?? { ...node, memberships: new Map<string, never>() };
    return [[action, { kind: 'node', node: record }]];
  };

const ofSubcloud =
  (action: Action): Rule =>
  ({ subcloud }, world) =>
    subcloud === null
      ? NOBODY
      : [[action, { kind: 'subcloud', subcloud: world.subclouds.get(subcloud.id) ?? subcloud }]];

const ofPrincipal =
  (action: Action): Rule =>
  ({ principal }) =>
    principal === null ? NOBODY : [[action, { kind: 'principal', principal }]];

/** Somebody else whom the detail names. */
const named =
  (key: string, action: Action): Rule =>
  ({ detail }) => {
    const principal = textOf(detail, key);
    return principal === undefined ? NOBODY : [[action, { kind: 'principal', principal: principal as PrincipalId }]];
  };

/** What belongs to nobody but the network is every caller's to read. */
const ofOwner =
  (action: Action): Rule =>
  ({ principal }) => [
    principal === null ? ['event.list', { kind: 'network' }] : [action, { kind: 'principal', principal }],
  ];

const either =
  (...rules: readonly Rule[]): Rule =>
  (event, world) =>
    rules.flatMap((rule) => rule(event, world));

const claim: Rule = ({ node, principal, detail }) => {
  const digest = textOf(detail, 'digest') ?? null;
  return [['claim.read', { kind: 'claim', claim: { node_id: node?.id ?? null, digest, issuer_owner: principal } }]];
};

/** A node shows to who may read it where it is a member; a Subcloud shows its members to who may explain it. */
const membership = either(ofSubcloud('subcloud.explain'), ofNode('node.read'));
const node = ofNode('node.read');
const revision = ofSubcloud('subcloud.read');
const management = ofSubcloud('subcloud.revisions');
const token = ofSubcloud('token.list');
const key = ofPrincipal('key.read');
const joinToken = ofPrincipal('joinToken.read');
const ban = ofSubcloud('ban.list');
const binding = either(ofPrincipal('binding.read'), ofSubcloud('binding.read'));
const attester = ofOwner('claim.read');
const domain = ofOwner('domain.read');
const group = either(ofPrincipal('org.read'), named('principal', 'account.read'));
const invitation = either(ofPrincipal('invitation.read'), named('group', 'invitation.read'));
const account = ofPrincipal('account.read');
const network: Rule = () => NOBODY;

const RULES: Readonly<Record<EventKind, Rule>> = {
  'membership.requested': membership,
  'membership.invited': membership,
  'membership.approved': membership,
  'membership.denied': membership,
  'membership.accepted': membership,
  'membership.declined': membership,
  'membership.probation': membership,
  'membership.active': membership,
  'membership.suspended': membership,
  'membership.draining': membership,
  'membership.left': membership,
  'membership.removed': membership,
  'membership.banned': membership,
  'membership.ended': membership,
  'node.enrolled': node,
  'node.drained': node,
  'node.undrained': node,
  'node.removed': node,
  'node.online': node,
  'node.offline': node,
  'node.link_refused': node,
  'subcloud.created': revision,
  'subcloud.updated': revision,
  'subcloud.deleted': revision,
  'subcloud.shadowed': ofSubcloud('subcloud.shadow'),
  'subcloud.delegated': management,
  'subcloud.offered': either(management, ofPrincipal('subcloud.receive')),
  // Who had it is told too, and who has it now.
  'subcloud.transferred': either(management, named('from', 'subcloud.receive')),
  'token.created': token,
  'token.rotated': token,
  'token.revoked': token,
  'key.created': key,
  'key.revoked': key,
  'join_token.created': joinToken,
  'join_token.revoked': joinToken,
  'ban.created': ban,
  'ban.lifted': ban,
  'binding.offered': binding,
  'binding.active': binding,
  'binding.declined': binding,
  'binding.ended': binding,
  'claim.created': claim,
  'claim.revoked': claim,
  'claim.restored': claim,
  'attester.created': attester,
  'attester.revoked': attester,
  'domain.created': domain,
  'domain.updated': domain,
  'domain.deleted': domain,
  'org.created': group,
  'team.created': group,
  'group.joined': group,
  'group.role_changed': group,
  'group.left': group,
  'invitation.created': invitation,
  'invitation.accepted': invitation,
  'invitation.declined': invitation,
  'invitation.revoked': invitation,
  'account.role_changed': account,
  'account.password_changed': account,
  'account.disabled': account,
  'quota.changed': ofPrincipal('quota.read'),
  'principal.created': network,
  'network.updated': network,
  'places.replaced': network,
  'gateway.enrolled': network,
  'gateway.removed': network,
  'gateway-token.created': network,
  'gateway-token.revoked': network,
  'security.lock_refusal': network,
};

/** What an actor may read of events, at one moment: what is found out for one event holds for the next about the same. */
export interface EventReader {
  readonly mayRead: (event: StoredEvent) => boolean;
  /** Who did it, or null where the reader does not know them. */
  readonly shownActor: (event: StoredEvent) => string | null;
}

/** Valid until the world changes. */
export function eventReader(world: World, actor: Actor): EventReader {
  const answers = new Map<string, boolean>();
  const readsAll = may(world, actor, { kind: 'principal', principal: null }, 'event.read');
  const known = new Map<string, boolean>();
  const asked = ([action, resource]: Question): boolean => {
    const name = `${action} ${nameOf(resource)}`;
    const answer = answers.get(name) ?? may(world, actor, resource, action);
    answers.set(name, answer);
    return answer;
  };
  const knows = (principal: PrincipalId): boolean => {
    const answer = known.get(principal) ?? isKnown(world, actor, principal);
    known.set(principal, answer);
    return answer;
  };
  return {
    mayRead: (event) => readsAll || (isEventKind(event.kind) && RULES[event.kind](event, world).some(asked)),
    shownActor: ({ actor: name }) =>
      readsAll || !/^(?:user|team|org):/.test(name) || knows(name as PrincipalId) ? name : null,
  };
}

/** Itself, somebody in a group that it may read, or whose account it may read. */
function isKnown(world: World, actor: Actor, principal: PrincipalId): boolean {
  if (actor.kind !== 'principal' || actor.principal === principal) return true;
  const groups = [principal, ...(world.people.groups.get(principal) ?? [])];
  return (
    may(world, actor, { kind: 'principal', principal }, 'account.read') ||
    groups.some((id) => may(world, actor, { kind: 'principal', principal: id }, 'org.read'))
  );
}

function nameOf(resource: Resource): string {
  switch (resource.kind) {
    case 'network':
      return '';
    case 'principal':
      return resource.principal ?? '';
    case 'subcloud':
      return resource.subcloud.id;
    case 'node':
      return resource.node.id;
    case 'claim':
      return JSON.stringify(resource.claim);
    case 'request':
      return `${resource.caller ?? ''} ${resource.pool?.id ?? ''}`;
  }
}

function textOf(detail: object, key: string): string | undefined {
  const value = (detail as Readonly<Record<string, unknown>>)[key];
  return typeof value === 'string' ? value : undefined;
}

/** Organisations and teams as handlers meet them: found with the right to know of them, and changed one member at a time. */
import { AppError } from '@subcloud/contract/errors';
import type { PrincipalId } from '@subcloud/policy/principal';
import { type Actor, actorName } from '../access/actor.ts';
import { mayForPrincipal } from '../access/authorise.ts';
import type { AuditedChange } from '../audit/audited.ts';
import { stageGroupMember } from '../compile/access-rows.ts';
import type { Transaction } from '../loop.ts';
import { insertEvents } from '../store/events.ts';
import {
  type MemberRole,
  type OrganisationRecord,
  type TeamRecord,
  groupRecord,
  organisationOf,
  setMember,
} from '../world/people.ts';
import type { World } from '../world/world.ts';
import { type ApiContext, iso } from './context.ts';

/**
 * The organisation or team if the actor may do the route's action to it. Throws client.not_found for what does not exist
 * and for what the actor may not know of, with the same bytes; policy.forbidden if it may know of it.
 */
export function knownGroup(actor: Actor, world: World, id: PrincipalId): OrganisationRecord | TeamRecord {
  const group = groupRecord(world.people, id);
  const organisation = id.startsWith('team:') ? organisationOf(id) : id;
  const knows =
    mayForPrincipal(world, actor, organisation, 'org.read') || mayForPrincipal(world, actor, id, 'org.read');
  if (group === undefined || !knows) throw groupNotFound(id);
  if (!mayForPrincipal(world, actor, id) && !mayForPrincipal(world, actor, organisation))
    throw new AppError('policy.forbidden', { message: `This credential may not do this to ${id}.` });
  return group;
}

export function groupNotFound(id: string): AppError {
  return new AppError('client.not_found', { message: `There is no ${id}, or this credential may not know of it.` });
}

export function groupView(actor: Actor, group: OrganisationRecord) {
  const { id, displayName, createdAtMs, members } = group;
  return {
    id,
    displayName,
    createdAt: iso(createdAtMs),
    members: members.size,
    role: actor.kind === 'principal' ? (members.get(actor.principal) ?? null) : null,
  };
}

export function memberView({ people }: World, principal: PrincipalId, role: MemberRole) {
  const account = people.accounts.get(principal);
  return { principal, role, kind: account?.kind ?? ('person' as const), displayName: account?.displayName ?? null };
}

/** Throws client.conflict where the group would have no owner left. */
export function requireOwnerLeft(group: OrganisationRecord, without: PrincipalId): void {
  if (group.members.get(without) !== 'owner') return;
  const others = [...group.members].filter(([principal, role]) => role === 'owner' && principal !== without);
  // A team needs none of its own: its organisation's owners run it.
  if (others.length === 0 && group.id.startsWith('org:'))
    throw new AppError('client.conflict', {
      message: `${without} is the last owner of ${group.id}: make somebody else owner first.`,
    });
}

/** Throws policy.forbidden where an owner would be made or unmade by somebody who is none. */
export function requireGovern(
  world: World,
  actor: Actor,
  group: OrganisationRecord,
  /** Null: somebody who is not known yet. */
  principal: PrincipalId | null,
  role: MemberRole | undefined,
): void {
  if (role !== 'owner' && (principal === null || group.members.get(principal) !== 'owner')) return;
  if (mayForPrincipal(world, actor, group.id, 'org.govern')) return;
  throw new AppError('policy.forbidden', { message: `Only an owner of ${group.id} makes or unmakes owners.` });
}

/** One membership set or (role undefined) ended, with what follows from it. Ending it in an organisation ends it in its teams. */
export async function changeMember(
  { loop, clock, pass }: Pick<ApiContext, 'loop' | 'clock' | 'pass'>,
  tx: Transaction,
  actor: Actor,
  group: OrganisationRecord,
  principal: PrincipalId,
  role: MemberRole | undefined,
): Promise<AuditedChange<undefined>> {
  const nowMs = clock.nowMs();
  const { people } = loop.world;
  const groups = [group.id];
  if (role === undefined && group.id.startsWith('org:')) {
    for (const team of people.teams.values())
      if (team.organisation === group.id && team.members.has(principal)) groups.push(team.id);
  }
  if (role === undefined) {
    await tx.deleteFrom('group_members').where('group_id', 'in', groups).where('principal', '=', principal).execute();
  } else {
    await tx
      .insertInto('group_members')
      .values({ group_id: group.id, principal, role, since: nowMs, added_by: actorName(actor) })
      .onConflict((conflict) => conflict.columns(['group_id', 'principal']).doUpdateSet({ role }))
      .execute();
  }
  const before = group.members.get(principal);
  await insertEvents(
    tx,
    [
      {
        kind: role === undefined ? 'group.left' : before === undefined ? 'group.joined' : 'group.role_changed',
        node: null,
        subcloud: null,
        principal: group.id,
        actor: actorName(actor),
        reason: 'by request',
        detail: { principal, before: before ?? null, after: role ?? null },
      },
    ],
    nowMs,
  );
  return {
    audit: {
      subject: `member:${group.id}/${principal}`,
      before: before === undefined ? null : { role: before, groups },
      after: role === undefined ? null : { role, groups },
    },
    result: undefined,
    touched: [],
    apply: (world) => {
      for (const id of groups) setMember(world.people, id, principal, role);
      stageGroupMember(world, pass.table, principal);
    },
  };
}

import { AppError } from '@subcloud/contract/errors';
import type { EventKind } from '@subcloud/contract/event-kinds';
import type { PrincipalId } from '@subcloud/policy/principal';
import { actorName } from '../../access/actor.ts';
import { mayForPrincipal } from '../../access/authorise.ts';
import { stagePrincipal } from '../../compile/access-rows.ts';
import type { Transaction } from '../../loop.ts';
import { requireRoom } from '../../quotas/quotas.ts';
import { insertEvents } from '../../store/events.ts';
import { type MemberRole, groupRecord, setMember } from '../../world/people.ts';
import { type ApiContext, type Handlers, page, withdrawn } from '../context.ts';
import {
  changeMember,
  groupNotFound,
  groupView,
  knownGroup,
  memberView,
  requireGovern,
  requireOwnerLeft,
} from '../groups.ts';
import { insertGroup } from '../insert-group.ts';
import { requireKnown } from './principals.ts';

type Names =
  | 'createOrg'
  | 'listOrgs'
  | 'getOrg'
  | 'listOrgMembers'
  | 'setOrgMember'
  | 'removeOrgMember'
  | 'leaveOrg'
  | 'createTeam'
  | 'listTeams'
  | 'listTeamMembers'
  | 'setTeamMember'
  | 'removeTeamMember'
  | 'createServiceAccount';

export const orgHandlers: Pick<Handlers, Names> = {
  async createOrg({ loop, clock, pass }, { body }, actor) {
    const id: PrincipalId = `org:${body.id}`;
    if (actor.kind === 'principal' && !actor.principal.startsWith('user:'))
      throw new AppError('policy.forbidden', { message: 'An organisation is made by an account, which then owns it.' });
    const owner = actor.kind === 'principal' ? actor.principal : undefined;
    await loop.change(async (tx) => {
      const nowMs = clock.nowMs();
      if (owner !== undefined)
        await requireRoom(tx, { world: loop.world, actor, owner, adds: { organisations: 1 }, nowMs });
      await insertPrincipal(tx, id, nowMs);
      const apply = await insertGroup(tx, id, actorName(actor), nowMs, body.displayName ?? null);
      if (owner !== undefined)
        await tx
          .insertInto('group_members')
          .values({ group_id: id, principal: owner, role: 'owner', since: nowMs, added_by: owner })
          .execute();
      await insertEvents(tx, [groupEvent('org.created', id, actorName(actor))], nowMs);
      return {
        audit: { subject: `org:${body.id}`, before: null, after: { id, owner: owner ?? null } },
        result: undefined,
        touched: [],
        apply: (world) => {
          apply?.(world.people);
          if (owner === undefined) return;
          setMember(world.people, id, owner, 'owner');
          stagePrincipal(world, pass.table, owner);
        },
      };
    });
    return groupView(actor, known(groupRecord(loop.world.people, id), id));
  },

  listOrgs({ loop }, { query }, actor) {
    const { world } = loop;
    const visible = [...world.people.organisations.values()].filter(({ id }) =>
      mayForPrincipal(world, actor, id, 'org.read'),
    );
    const { items, next } = page(visible, ({ id }) => id, query);
    return { items: items.map((group) => groupView(actor, group)), next };
  },

  getOrg: ({ loop }, { params }, actor) => groupView(actor, knownGroup(actor, loop.world, `org:${params.org}`)),

  listOrgMembers({ loop }, { params, query }, actor) {
    const { members } = knownGroup(actor, loop.world, `org:${params.org}`);
    const { items, next } = page([...members], ([principal]) => principal, query);
    return { items: items.map(([principal, role]) => memberView(loop.world, principal, role)), next };
  },

  async setOrgMember(context, { params, body }, actor) {
    const { loop } = context;
    const principal: PrincipalId = `user:${params.member}`;
    const { tableVersion } = await loop.change(async (tx) => {
      const group = knownGroup(actor, loop.world, `org:${params.org}`);
      const isMember = group.members.has(principal);
      if (!isMember && !mayForPrincipal(loop.world, actor, group.id, 'org.assign'))
        throw notMember(group.id, principal);
      if (!isMember) await requireKnown(tx, principal);
      requireGovern(loop.world, actor, group, principal, body.role);
      if (body.role !== 'owner') requireOwnerLeft(group, principal);
      return changeMember(context, tx, actor, group, principal, body.role);
    });
    return joined(context, memberView(loop.world, principal, body.role), tableVersion);
  },

  async removeOrgMember(context, { params }, actor) {
    const { loop } = context;
    const principal: PrincipalId = `user:${params.member}`;
    const { tableVersion } = await loop.change((tx) => {
      const group = knownGroup(actor, loop.world, `org:${params.org}`);
      if (!group.members.has(principal)) throw notMember(group.id, principal);
      requireGovern(loop.world, actor, group, principal, undefined);
      requireOwnerLeft(group, principal);
      return changeMember(context, tx, actor, group, principal, undefined);
    });
    return { withdrawal: await withdrawn(context, tableVersion) };
  },

  async leaveOrg(context, { params }, actor) {
    const { loop } = context;
    const { tableVersion } = await loop.change((tx) => {
      const group = knownGroup(actor, loop.world, `org:${params.org}`);
      if (actor.kind !== 'principal') throw groupNotFound(group.id);
      requireOwnerLeft(group, actor.principal);
      return changeMember(context, tx, actor, group, actor.principal, undefined);
    });
    return { withdrawal: await withdrawn(context, tableVersion) };
  },

  async createTeam({ loop, clock }, { params, body }, actor) {
    const id: PrincipalId = `team:${params.org}/${body.id}`;
    await loop.change(async (tx) => {
      knownGroup(actor, loop.world, `org:${params.org}`);
      const nowMs = clock.nowMs();
      await insertPrincipal(tx, id, nowMs);
      const apply = await insertGroup(tx, id, actorName(actor), nowMs, body.displayName ?? null);
      await insertEvents(tx, [groupEvent('team.created', id, actorName(actor))], nowMs);
      return {
        audit: { subject: `team:${params.org}/${body.id}`, before: null, after: { id } },
        result: undefined,
        touched: [],
        apply: (world) => apply?.(world.people),
      };
    });
    return groupView(actor, known(groupRecord(loop.world.people, id), id));
  },

  listTeams({ loop }, { params, query }, actor) {
    const { id } = knownGroup(actor, loop.world, `org:${params.org}`);
    const teams = [...loop.world.people.teams.values()].filter(({ organisation }) => organisation === id);
    const { items, next } = page(teams, (team) => team.id, query);
    return { items: items.map((team) => groupView(actor, team)), next };
  },

  listTeamMembers({ loop }, { params, query }, actor) {
    const { members } = knownGroup(actor, loop.world, `team:${params.org}/${params.team}`);
    const { items, next } = page([...members], ([principal]) => principal, query);
    return { items: items.map(([principal, role]) => memberView(loop.world, principal, role)), next };
  },

  async setTeamMember(context, { params, body }, actor) {
    const { loop } = context;
    const principal: PrincipalId = `user:${params.member}`;
    const { tableVersion } = await loop.change((tx) => {
      const team = knownGroup(actor, loop.world, `team:${params.org}/${params.team}`);
      const organisation = groupRecord(loop.world.people, `org:${params.org}`);
      // Who is in the organisation has agreed to be; a team asks nobody from outside.
      if (organisation?.members.has(principal) !== true) throw notMember(`org:${params.org}`, principal);
      requireGovern(loop.world, actor, team, principal, body.role);
      return changeMember(context, tx, actor, team, principal, body.role);
    });
    return joined(context, memberView(loop.world, principal, body.role), tableVersion);
  },

  async removeTeamMember(context, { params }, actor) {
    const { loop } = context;
    const principal: PrincipalId = `user:${params.member}`;
    const { tableVersion } = await loop.change((tx) => {
      const team = knownGroup(actor, loop.world, `team:${params.org}/${params.team}`);
      if (!team.members.has(principal)) throw notMember(team.id, principal);
      requireGovern(loop.world, actor, team, principal, undefined);
      return changeMember(context, tx, actor, team, principal, undefined);
    });
    return { withdrawal: await withdrawn(context, tableVersion) };
  },

  async createServiceAccount(context, { params, body }, actor) {
    const { loop, clock } = context;
    const principal: PrincipalId = `user:svc.${params.org}.${body.id}`;
    if (principal.length > 68)
      throw new AppError('client.invalid_request', { message: 'The id is too long.', param: 'id' });
    await loop.change(async (tx) => {
      const group = knownGroup(actor, loop.world, `org:${params.org}`);
      const nowMs = clock.nowMs();
      await insertPrincipal(tx, principal, nowMs);
      const displayName = body.displayName ?? null;
      await tx
        .insertInto('accounts')
        .values({
          principal,
          kind: 'service',
          organisation: group.id,
          email: null,
          email_verified: false,
          display_name: displayName,
          password_hash: null,
          created_at: nowMs,
          created_by: actorName(actor),
          disabled_at: null,
        })
        .execute();
      const member = await changeMember(context, tx, actor, group, principal, body.role);
      return {
        ...member,
        audit: {
          subject: `account:${principal}`,
          before: null,
          after: { principal, organisation: group.id, role: body.role },
        },
        apply: (world) => {
          world.people.accounts.set(principal, {
            kind: 'service',
            organisation: group.id,
            displayName,
            disabled: false,
          });
          member.apply(world);
        },
      };
    });
    return memberView(loop.world, principal, body.role satisfies MemberRole);
  },
};

/** In force when it is answered, as leaving is: a group that is bound or banned takes rights from who joins it. */
async function joined(context: ApiContext, member: ReturnType<typeof memberView>, tableVersion: number) {
  return { ...member, withdrawal: await withdrawn(context, tableVersion) };
}

/** Throws client.conflict for an id that is taken. */
export async function insertPrincipal(tx: Transaction, id: PrincipalId, nowMs: number): Promise<void> {
  const inserted = await tx
    .insertInto('principals')
    .values({ id, created_at: nowMs, network_role: null })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (inserted.numInsertedOrUpdatedRows !== 1n) throw new AppError('client.conflict', { message: `${id} is taken.` });
}

function notMember(group: PrincipalId, principal: PrincipalId): AppError {
  return new AppError('client.not_found', { message: `${principal} is no member of ${group}; invite it.` });
}

function known<Group>(group: Group | undefined, id: string): Group {
  if (group === undefined) throw new Error(`${id} is not in the world`);
  return group;
}

function groupEvent(kind: EventKind, id: string, actor: string) {
  return { kind, node: null, subcloud: null, principal: id, actor, reason: 'by request', detail: { id } };
}

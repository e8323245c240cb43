/**
 * Invitations: into an organisation or team with a role, or into the network alone. One to an account waits for that
 * account; one to an e-mail address is for whoever holds its token, which the inviter passes on, since no mail is sent.
 */
import { AppError } from '@subcloud/contract/errors';
import type { EventKind } from '@subcloud/contract/event-kinds';
import { newId } from '@subcloud/kit/clock';
import { hashSecret, newSecret, sameHash } from '@subcloud/kit/secrets';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Selectable } from 'kysely';
import { type Actor, actorName } from '../../access/actor.ts';
import { mayForPrincipal } from '../../access/authorise.ts';
import type { AuditedChange } from '../../audit/audited.ts';
import type { Database } from '../../store/database.ts';
import type { Schema } from '../../store/schema.ts';
import type { Transaction } from '../../loop.ts';
import { insertEvents } from '../../store/events.ts';
import type { MemberRole, NetworkRole } from '../../world/people.ts';
import { type ApiContext, type Handlers, iso, page, withdrawn } from '../context.ts';
import { changeMember, groupNotFound, knownGroup, requireGovern } from '../groups.ts';
import { requireKnown } from './principals.ts';

type Names = 'createInvitation' | 'listInvitations' | 'acceptInvitation' | 'declineInvitation' | 'revokeInvitation';
export type InvitationRow = Selectable<Schema['invitations']>;
/** Where an invitation's page is; the token follows as `?token=`. */
export const INVITATION_PATH = '/account/invitation';

const COLUMNS = [
  'id',
  'token_hash',
  'group_id',
  'role',
  'network_role',
  'principal',
  'email',
  'created_at',
  'created_by',
  'expires_at',
  'answered_at',
  'answer',
  'answered_by',
] as const;

export const invitationHandlers: Pick<Handlers, Names> = {
  async createInvitation({ loop, clock }, { body }, actor) {
    const { world } = loop;
    const group = body.group ?? null;
    if ((group === null) !== (body.role === undefined))
      throw new AppError('client.invalid_request', { message: 'A group and a role go together.', param: 'role' });
    const token = newSecret('invitation');
    const row: InvitationRow = {
      id: newId('inv'),
      token_hash: hashSecret(token),
      group_id: group,
      role: body.role ?? null,
      network_role: body.networkRole ?? null,
      principal: body.principal ?? null,
      email: body.email ?? null,
      created_at: clock.nowMs(),
      created_by: actorName(actor),
      expires_at: clock.nowMs() + body.expiresInS * 1_000,
      answered_at: null,
      answer: null,
      answered_by: null,
    };
    await loop.change(async (tx) => {
      // A role in the network, and a place in it without a group, are the network admin's to give.
      if (group === null || body.networkRole !== undefined) permitNetwork(world, actor);
      if (group !== null) {
        const record = knownGroup(actor, world, group);
        if (!group.startsWith('org:'))
          throw new AppError('client.invalid_request', {
            message: 'One is invited into an organisation; its teams take members of it.',
            param: 'group',
          });
        requireGovern(world, actor, record, null, body.role);
        if (body.principal !== undefined && record.members.has(body.principal))
          throw new AppError('client.conflict', { message: `${body.principal} is a member of ${group}.` });
      }
      if (body.principal !== undefined) {
        if (!body.principal.startsWith('user:'))
          throw new AppError('client.invalid_request', { message: 'Accounts are invited.', param: 'principal' });
        await requireKnown(tx, body.principal);
      }
      await tx.insertInto('invitations').values(row).execute();
      await insertEvents(tx, [eventOf('invitation.created', row, actor)], clock.nowMs());
      return auditedAnswer(row, null);
    });
    return { ...invitationView(row, clock.nowMs()), token, path: `${INVITATION_PATH}?token=${token}` };
  },

  async listInvitations({ db, loop, clock }, { query }, actor) {
    let select = db.selectFrom('invitations').select(COLUMNS);
    if (query.group !== undefined) select = select.where('group_id', '=', query.group);
    const rows = (await select.execute()).filter((row) => mayRead(loop.world, actor, row));
    const { items, next } = page(rows, ({ id }) => id, query);
    return { items: items.map((row) => invitationView(row, clock.nowMs())), next };
  },

  async acceptInvitation(context, { params, body }, actor) {
    const { loop, clock } = context;
    const { result, tableVersion } = await loop.change(async (tx) => {
      const row = await openInvitation(tx, params.id, clock.nowMs());
      const held = row !== undefined && body.token !== undefined && sameHash(hashSecret(body.token), row.token_hash);
      if (row === undefined || actor.kind !== 'principal' || !(held || isTo(loop.world, actor, row)))
        throw invitationNotFound(params.id);
      return acceptance(context, tx, actor, row);
    });
    // Its group may be bound or banned, which takes rights from who joins it.
    return { ...invitationView(result, clock.nowMs()), withdrawal: await withdrawn(context, tableVersion) };
  },

  async declineInvitation({ loop, clock }, { params }, actor) {
    const { result } = await loop.change(async (tx) => {
      const row = await openInvitation(tx, params.id, clock.nowMs());
      if (row === undefined || !isTo(loop.world, actor, row)) throw invitationNotFound(params.id);
      return answered(tx, row, 'declined', actor, clock.nowMs());
    });
    return invitationView(result, clock.nowMs());
  },

  async revokeInvitation({ loop, clock }, { params }, actor) {
    const { result } = await loop.change(async (tx) => {
      const row = await openInvitation(tx, params.id, clock.nowMs());
      if (row === undefined || !mayForPrincipal(loop.world, actor, row.group_id as PrincipalId | null))
        throw invitationNotFound(params.id);
      return answered(tx, row, 'revoked', actor, clock.nowMs());
    });
    return invitationView(result, clock.nowMs());
  },
};

/** The open invitation that this token belongs to. */
export async function invitationByToken(
  db: Database | Transaction,
  token: string,
  nowMs: number,
): Promise<InvitationRow | undefined> {
  const row = await db
    .selectFrom('invitations')
    .select(COLUMNS)
    .where('token_hash', '=', hashSecret(token))
    .executeTakeFirst();
  return row !== undefined && row.answered_at === null && row.expires_at > nowMs ? row : undefined;
}

/** What accepting does, for the account that the actor is: its place in the group, its role in the network. */
export async function acceptance(
  context: Pick<ApiContext, 'loop' | 'clock' | 'pass'>,
  tx: Transaction,
  actor: Actor & { readonly kind: 'principal' },
  row: InvitationRow,
): Promise<AuditedChange<InvitationRow>> {
  const { loop, clock } = context;
  const { principal } = actor;
  if (!principal.startsWith('user:'))
    throw new AppError('policy.forbidden', { message: 'An invitation is accepted by an account.' });
  const done = await answered(tx, row, 'accepted', actor, clock.nowMs());
  const group = row.group_id === null ? undefined : loop.world.people.organisations.get(row.group_id as PrincipalId);
  if (row.group_id !== null && group === undefined) throw groupNotFound(row.group_id);
  if (group?.members.has(principal) === true)
    throw new AppError('client.conflict', { message: `${principal} is a member of ${group.id} already.` });
  const member =
    group === undefined ? undefined : await changeMember(context, tx, actor, group, principal, row.role as MemberRole);
  const networkRole = row.network_role as NetworkRole | null;
  if (networkRole !== null)
    await tx.updateTable('principals').set({ network_role: networkRole }).where('id', '=', principal).execute();
  return {
    ...done,
    apply: (world) => {
      member?.apply(world);
      if (networkRole !== null) world.people.networkRoles.set(principal, networkRole);
    },
  };
}

async function openInvitation(tx: Transaction, id: string, nowMs: number): Promise<InvitationRow | undefined> {
  const row = await tx.selectFrom('invitations').select(COLUMNS).where('id', '=', id).executeTakeFirst();
  return row !== undefined && row.answered_at === null && row.expires_at > nowMs ? row : undefined;
}

async function answered(
  tx: Transaction,
  row: InvitationRow,
  answer: 'accepted' | 'declined' | 'revoked',
  actor: Actor,
  nowMs: number,
): Promise<AuditedChange<InvitationRow>> {
  const after = { ...row, answer, answered_at: nowMs, answered_by: actorName(actor) };
  await tx
    .updateTable('invitations')
    .set({ answer, answered_at: nowMs, answered_by: after.answered_by })
    .where('id', '=', row.id)
    .execute();
  await insertEvents(tx, [eventOf(`invitation.${answer}`, after, actor)], nowMs);
  return auditedAnswer(after, row);
}

/** About whom is invited, where that is known; of the group. Addresses stand in no event. */
function eventOf(kind: EventKind, row: InvitationRow, actor: Actor) {
  const { id, principal, group_id: group, role } = row;
  const detail = { id, role, ...(group === null ? {} : { group }) };
  return { kind, node: null, subcloud: null, principal, actor: actorName(actor), reason: 'by request', detail };
}

function auditedAnswer(after: InvitationRow, before: InvitationRow | null): AuditedChange<InvitationRow> {
  const state = ({ group_id, role, network_role, principal, email, answer }: InvitationRow) => ({
    group: group_id,
    role,
    networkRole: network_role,
    principal,
    email,
    answer,
  });
  return {
    audit: { subject: `invitation:${after.id}`, before: before === null ? null : state(before), after: state(after) },
    result: after,
    touched: [],
    apply: () => undefined,
  };
}

function permitNetwork(world: ApiContext['loop']['world'], actor: Actor): void {
  if (mayForPrincipal(world, actor, null)) return;
  throw new AppError('policy.forbidden', {
    message: "An invitation into the network, or to a role in it, is the network admin's; name a group of your own.",
  });
}

function isTo(world: ApiContext['loop']['world'], actor: Actor, row: InvitationRow): boolean {
  return row.principal !== null && mayForPrincipal(world, actor, row.principal as PrincipalId, 'invitation.answer');
}

function mayRead(world: ApiContext['loop']['world'], actor: Actor, row: InvitationRow): boolean {
  return (
    (row.principal !== null && mayForPrincipal(world, actor, row.principal as PrincipalId, 'invitation.read')) ||
    mayForPrincipal(world, actor, row.group_id as PrincipalId | null, 'invitation.read')
  );
}

function invitationNotFound(id: string): AppError {
  return new AppError('client.not_found', {
    message: `There is no open invitation ${id}, or not for this credential.`,
  });
}

export function invitationView(row: InvitationRow, nowMs: number) {
  const state = (row.answer ?? (row.expires_at <= nowMs ? 'expired' : 'open')) as 'open';
  return {
    id: row.id,
    group: row.group_id as PrincipalId | null,
    role: row.role as MemberRole | null,
    networkRole: row.network_role as NetworkRole | null,
    principal: row.principal as PrincipalId | null,
    email: row.email,
    invitedBy: row.created_by,
    createdAt: iso(row.created_at),
    expiresAt: iso(row.expires_at),
    state,
  };
}

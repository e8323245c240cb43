import { AppError } from '@subcloud/contract/errors';
import type { EventKind } from '@subcloud/contract/event-kinds';
import { type accountsRoutes, DEVICE_PATH } from '@subcloud/contract/routes/accounts';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Selectable } from 'kysely';
import { type Actor, actorName } from '../../access/actor.ts';
import { mayForPrincipal } from '../../access/authorise.ts';
import { disableAccount, insertAccount } from '../../identity/accounts.ts';
import { addressBlock } from '../../identity/attempt-limits.ts';
import { DEVICE_CODE_MS, POLL_INTERVAL_S } from '../../identity/device-codes.ts';
import { type IssuedKey, issueKey } from '../../identity/issue-key.ts';
import { hashPassword, isPassword } from '../../identity/passwords.ts';
import { endSessions } from '../../identity/sessions.ts';
import { insertEvents } from '../../store/events.ts';
import type { Schema } from '../../store/schema.ts';
import { groupRecord } from '../../world/people.ts';
import type { World } from '../../world/world.ts';
import { type Handlers, iso, isoOrNull, page, withdrawn } from '../context.ts';
import { requireOwnerLeft } from '../groups.ts';

const DAY_MS = 86_400_000;
/** Of a key that signing in makes: the file that holds it is on somebody's machine. */
const LOGIN_KEY_MS = 90 * DAY_MS;
const COLUMNS = ['principal', 'kind', 'organisation', 'email', 'display_name', 'created_at', 'disabled_at'] as const;
type AccountRow = Pick<Selectable<Schema['accounts']>, (typeof COLUMNS)[number]>;

export const accountHandlers: Pick<Handlers, keyof typeof accountsRoutes> = {
  loginOptions: ({ loop, identity }) => ({
    hasAccounts: hasPeople(loop.world),
    oidc: identity.oidc?.name ?? null,
  }),

  async createFirstAccount({ loop, clock, pass }, { body }, actor) {
    const principal: PrincipalId = `user:${body.id ?? idFrom(body.email)}`;
    const passwordHash = await hashPassword(body.password);
    const nowMs = clock.nowMs();
    const { result } = await loop.change(async (tx) => {
      if (hasPeople(loop.world))
        throw new AppError('client.conflict', {
          message: 'The first account is made already: sign in with it, and invite further ones.',
        });
      const apply = await insertAccount(tx, {
        principal,
        existing: false,
        email: body.email,
        emailVerified: true,
        displayName: body.displayName ?? null,
        passwordHash,
        networkRole: 'admin',
        by: actorName(actor),
        nowMs,
      });
      const name = body.keyName ?? 'first account';
      const wanted = { principal, name, expiresAtMs: nowMs + LOGIN_KEY_MS, by: actorName(actor), nowMs };
      const key = await issueKey(tx, pass, wanted);
      return {
        audit: {
          subject: `account:${principal}`,
          before: null,
          after: { principal, networkRole: 'admin', key: key.id },
        },
        result: key,
        touched: [],
        apply: (world) => {
          apply(world);
          key.apply(world);
        },
      };
    });
    return issued(result);
  },

  startDevice({ identity, clientAddress }, { body }) {
    const waitS = identity.deviceStarts.take(addressBlock(clientAddress));
    if (waitS !== undefined) throw new AppError('client.too_many_attempts', { retryAfterS: waitS });
    const started = identity.devices.start(body.clientName);
    if (started === undefined) throw new AppError('client.too_many_attempts', { retryAfterS: 60 });
    return {
      deviceCode: started.deviceCode,
      userCode: started.code.userCode,
      path: DEVICE_PATH,
      intervalS: POLL_INTERVAL_S,
      expiresInS: DEVICE_CODE_MS / 1_000,
    };
  },

  async pollDevice({ identity, loop, clock, pass }, { body }) {
    const code = identity.devices.byDeviceCode(body.deviceCode);
    if (code === undefined)
      throw new AppError('client.not_found', { message: 'This code has ended: ask for another.' });
    const { answer, clientName } = code;
    if (answer === undefined) throw new AppError('client.authorization_pending', { retryAfterS: POLL_INTERVAL_S });
    identity.devices.forget(body.deviceCode);
    if (answer === 'refused') throw new AppError('policy.forbidden', { message: 'The sign-in was refused.' });
    const principal = answer.approvedBy;
    const { result } = await loop.change(async (tx) => {
      // Approved, and disabled since.
      if (loop.world.people.accounts.get(principal)?.disabled !== false) throw new AppError('policy.forbidden');
      const nowMs = clock.nowMs();
      const expiresAtMs = nowMs + LOGIN_KEY_MS;
      const key = await issueKey(tx, pass, { principal, name: clientName, expiresAtMs, by: principal, nowMs });
      return {
        audit: {
          subject: `key:${key.id}`,
          before: null,
          after: { principal, name: clientName, expiresAt: iso(expiresAtMs) },
          actor: { name: principal, role: 'self' },
        },
        result: key,
        touched: [],
        apply: key.apply,
      };
    });
    return issued(result);
  },

  async listAccounts({ db, loop }, { query }) {
    const rows = await db.selectFrom('accounts').select(COLUMNS).execute();
    const { items, next } = page(rows, ({ principal }) => principal, query);
    return { items: items.map((row) => accountView(loop.world, row)), next };
  },

  async getAccount({ db, loop }, { params }, actor) {
    const principal: PrincipalId = `user:${params.id}`;
    requireAccount(loop.world, actor, principal);
    const row = await db
      .selectFrom('accounts')
      .select(COLUMNS)
      .where('principal', '=', principal)
      .executeTakeFirstOrThrow();
    return accountView(loop.world, row);
  },

  async setNetworkRole({ db, loop, clock }, { params, body }, actor) {
    const principal: PrincipalId = `user:${params.id}`;
    await loop.change(async (tx) => {
      requireAccount(loop.world, actor, principal);
      if (loop.world.people.accounts.get(principal)?.kind !== 'person')
        throw new AppError('client.conflict', {
          message: 'Whoever runs its organisation makes keys of a service account: it gets no role in the network.',
        });
      const before = loop.world.people.networkRoles.get(principal) ?? null;
      if (actor.kind === 'principal' && actor.principal === principal && body.role !== 'admin')
        throw new AppError('client.conflict', { message: 'Another network admin takes this role from you.' });
      await tx.updateTable('principals').set({ network_role: body.role }).where('id', '=', principal).execute();
      await insertEvents(
        tx,
        [accountEvent('account.role_changed', principal, actor, { before, after: body.role })],
        clock.nowMs(),
      );
      return {
        audit: { subject: `account:${principal}`, before: { networkRole: before }, after: { networkRole: body.role } },
        result: undefined,
        touched: [],
        apply: ({ people }) => {
          if (body.role === null) people.networkRoles.delete(principal);
          else people.networkRoles.set(principal, body.role);
        },
      };
    });
    const row = await db
      .selectFrom('accounts')
      .select(COLUMNS)
      .where('principal', '=', principal)
      .executeTakeFirstOrThrow();
    return accountView(loop.world, row);
  },

  async setPassword({ db, loop, identity, clock }, { params, body }, actor) {
    const principal: PrincipalId = `user:${params.id}`;
    requireAccount(loop.world, actor, principal);
    const governs = mayForPrincipal(loop.world, actor, principal, 'account.govern');
    const isSelf = actor.kind === 'principal' && actor.principal === principal;
    if (isSelf || !governs) {
      const waitS = identity.signIns.take(principal, 'api');
      if (waitS !== undefined) throw new AppError('client.too_many_attempts', { retryAfterS: waitS });
      const row = await db
        .selectFrom('accounts')
        .select('password_hash')
        .where('principal', '=', principal)
        .executeTakeFirst();
      if (!(await isPassword(body.current ?? '', row?.password_hash ?? null)))
        throw new AppError('policy.forbidden', { message: 'The current password is not right.' });
      identity.signIns.forgive(principal, 'api');
    }
    const hash = await hashPassword(body.next);
    const { result } = await loop.change(async (tx) => {
      requireAccount(loop.world, actor, principal);
      if (loop.world.people.accounts.get(principal)?.kind !== 'person')
        throw new AppError('client.not_found', { message: `${principal} is no account of a person.` });
      await tx.updateTable('accounts').set({ password_hash: hash }).where('principal', '=', principal).execute();
      const ended = await endSessions(tx, principal);
      await insertEvents(tx, [accountEvent('account.password_changed', principal, actor, {})], clock.nowMs());
      return {
        audit: { subject: `account:${principal}`, before: {}, after: { passwordChanged: true, sessionsEnded: ended } },
        result: ended,
        touched: [],
        apply: () => undefined,
      };
    });
    return { sessionsEnded: result };
  },

  async disableAccount(context, { params }, actor) {
    const { loop, clock, pass } = context;
    const principal: PrincipalId = `user:${params.id}`;
    const { result, tableVersion } = await loop.change(async (tx) => {
      requireAccount(loop.world, actor, principal);
      const { people } = loop.world;
      if (actor.kind === 'principal' && actor.principal === principal)
        throw new AppError('client.conflict', { message: 'Somebody else disables your account.' });
      if (people.accounts.get(principal)?.disabled === true)
        throw new AppError('client.conflict', { message: `${principal} is disabled already.` });
      for (const id of people.groups.get(principal) ?? []) {
        const group = groupRecord(people, id);
        if (group !== undefined) requireOwnerLeft(group, principal);
      }
      const { keys, apply } = await disableAccount(tx, pass, principal, clock.nowMs());
      await insertEvents(tx, [accountEvent('account.disabled', principal, actor, { keys })], clock.nowMs());
      return {
        audit: {
          subject: `account:${principal}`,
          before: { disabled: false },
          after: { disabled: true, keysRevoked: keys },
        },
        result: keys,
        touched: [],
        apply,
      };
    });
    return { keysRevoked: result, withdrawal: await withdrawn(context, tableVersion) };
  },
};

function hasPeople({ people }: World): boolean {
  for (const { kind } of people.accounts.values()) if (kind === 'person') return true;
  return false;
}

/** Throws client.not_found for what does not exist and for what the actor may not know of, with the same bytes; else policy.forbidden. */
function requireAccount(world: World, actor: Actor, principal: PrincipalId): void {
  if (!world.people.accounts.has(principal) || !mayForPrincipal(world, actor, principal, 'account.read'))
    throw new AppError('client.not_found', {
      message: `There is no account ${principal}, or this credential may not know of it.`,
    });
  if (!mayForPrincipal(world, actor, principal))
    throw new AppError('policy.forbidden', { message: `This credential may not do this to ${principal}.` });
}

/** `Ann.Example@example.com` -> `ann.example`. */
export function idFrom(email: string): string {
  const id = (email.split('@')[0] ?? '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]/g, '-')
    .replaceAll(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
    .slice(0, 63);
  return id === '' ? 'admin' : id;
}

function issued({ principal, id, key, expiresAtMs }: IssuedKey) {
  return { principal, id, key, expiresAt: isoOrNull(expiresAtMs) };
}

function accountView({ people }: World, row: AccountRow) {
  const principal = row.principal as PrincipalId;
  const groups = [...(people.groups.get(principal) ?? [])].sort().flatMap((id) => {
    const role = groupRecord(people, id)?.members.get(principal);
    return role === undefined ? [] : [{ id, role }];
  });
  return {
    principal,
    kind: row.kind as 'person' | 'service',
    email: row.email,
    displayName: row.display_name,
    organisation: row.organisation as PrincipalId | null,
    networkRole: people.networkRoles.get(principal) ?? null,
    groups,
    createdAt: iso(row.created_at),
    disabled: row.disabled_at !== null,
  };
}

function accountEvent(kind: EventKind, principal: PrincipalId, actor: Actor, detail: object) {
  return {
    kind,
    node: null,
    subcloud: null,
    actor: actorName(actor),
    reason: 'by request',
    principal,
    detail,
  };
}

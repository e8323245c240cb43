/** Accounts of people: made, found by login name, disabled. */
import { AppError } from '@subcloud/contract/errors';
import type { PrincipalId } from '@subcloud/policy/principal';
import { stageCredential } from '../compile/access-rows.ts';
import type { Transaction } from '../loop.ts';
import type { PassContext } from '../pass.ts';
import type { Database } from '../store/database.ts';
import { type NetworkRole, setMember } from '../world/people.ts';
import type { World } from '../world/world.ts';
import { endSessions } from './sessions.ts';

export interface NewAccount {
  readonly principal: PrincipalId;
  /** The principal is there already, made by the admin: it gets an account, and its keys go on. */
  readonly existing: boolean;
  readonly email: string | null;
  readonly emailVerified: boolean;
  readonly displayName: string | null;
  readonly passwordHash: string | null;
  readonly networkRole: NetworkRole | null;
  readonly by: string;
  readonly nowMs: number;
}

/** Ids of service accounts begin with it. */
const SERVICE_PREFIX = 'user:svc.';

/** Inserts what is wanted; returns the same for the world. Throws client.conflict for an id or login name that is taken. */
export async function insertAccount(tx: Transaction, wanted: NewAccount): Promise<(world: World) => void> {
  const { principal, email, networkRole, displayName, nowMs } = wanted;
  if (principal.startsWith(SERVICE_PREFIX)) throw taken(principal);
  const found = await tx.selectFrom('principals').select('id').where('id', '=', principal).executeTakeFirst();
  if ((found !== undefined) !== wanted.existing) throw taken(principal);
  if (found === undefined)
    await tx.insertInto('principals').values({ id: principal, created_at: nowMs, network_role: networkRole }).execute();
  else if (networkRole !== null)
    await tx.updateTable('principals').set({ network_role: networkRole }).where('id', '=', principal).execute();
  const inserted = await tx
    .insertInto('accounts')
    .values({
      principal,
      kind: 'person',
      organisation: null,
      email,
      email_verified: wanted.emailVerified,
      display_name: displayName,
      password_hash: wanted.passwordHash,
      created_at: nowMs,
      created_by: wanted.by,
      disabled_at: null,
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (inserted.numInsertedOrUpdatedRows !== 1n) throw taken(email ?? principal);
  return (world) => {
    world.people.accounts.set(principal, { kind: 'person', organisation: null, displayName, disabled: false });
    if (networkRole !== null) world.people.networkRoles.set(principal, networkRole);
  };
}

function taken(what: string): AppError {
  return new AppError('client.conflict', { message: `${what} is taken.` });
}

export interface Login {
  readonly principal: PrincipalId;
  readonly passwordHash: string | null;
}

/** By login name, which is an e-mail address in lower case. A disabled account is none. */
export async function findLogin(db: Pick<Database, 'selectFrom'>, email: string): Promise<Login | undefined> {
  const row = await db
    .selectFrom('accounts')
    .select(['principal', 'password_hash'])
    .where('email', '=', email)
    .where('disabled_at', 'is', null)
    .executeTakeFirst();
  return row === undefined ? undefined : { principal: row.principal as PrincipalId, passwordHash: row.password_hash };
}

/** Revokes its keys, ends its sessions, memberships and role. Returns how many keys there were, and the same for the world. */
export async function disableAccount(
  tx: Transaction,
  { table }: Pick<PassContext, 'table'>,
  principal: PrincipalId,
  nowMs: number,
): Promise<{ readonly keys: number; readonly apply: (world: World) => void }> {
  await tx.updateTable('accounts').set({ disabled_at: nowMs }).where('principal', '=', principal).execute();
  await tx.updateTable('principals').set({ network_role: null }).where('id', '=', principal).execute();
  await tx.deleteFrom('group_members').where('principal', '=', principal).execute();
  await tx.deleteFrom('subcloud_delegates').where('principal', '=', principal).execute();
  await endSessions(tx, principal);
  const keys = await tx
    .updateTable('account_keys')
    .set({ revoked_at: nowMs })
    .where('principal', '=', principal)
    .where('revoked_at', 'is', null)
    .returning('hash')
    .execute();
  const tokens = await tx
    .updateTable('subcloud_tokens')
    .set({ revoked_at: nowMs })
    .where('principal', '=', principal)
    .where('revoked_at', 'is', null)
    .returning(['hash', 'previous_hash'])
    .execute();
  // The secret before the last rotation may still be good: it goes with the token.
  const hashes = [...keys, ...tokens, ...tokens.map(({ previous_hash }) => ({ hash: previous_hash }))];
  return {
    keys: keys.length,
    apply: (world) => {
      const { people } = world;
      const account = people.accounts.get(principal);
      if (account !== undefined) people.accounts.set(principal, { ...account, disabled: true });
      people.networkRoles.delete(principal);
      for (const group of people.groups.get(principal) ?? []) setMember(people, group, principal, undefined);
      for (const [id, delegates] of people.delegates) {
        const left = new Set([...delegates].filter((delegate) => delegate !== principal));
        if (left.size === 0) people.delegates.delete(id);
        else people.delegates.set(id, left);
      }
      for (const { hash } of hashes) {
        if (hash === null) continue;
        world.credentials.delete(hash);
        stageCredential(world, table, hash, undefined);
      }
    },
  };
}

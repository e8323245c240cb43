/**
 * Sessions of browsers: 256 random bits in a cookie, SHA-256 in the store. A session is made by signing in and by nothing
 * else, always a new one, so none that somebody planted before becomes valid.
 */
import { hashSecret, newSecret, secretKind } from '@subcloud/kit/secrets';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Database } from '../store/database.ts';
import type { Transaction } from '../loop.ts';

export interface Session {
  readonly hash: string;
  readonly principal: PrincipalId;
}

const HOUR_MS = 3_600_000;
export const SESSION_MAX_MS: number = 7 * 24 * HOUR_MS;
const SESSION_IDLE_MS = 12 * HOUR_MS;
const SEEN_EVERY_MS = 5 * 60_000;

export async function insertSession(tx: Transaction, principal: PrincipalId, nowMs: number): Promise<string> {
  const token = newSecret('session');
  await tx.deleteFrom('sessions').where('expires_at', '<=', nowMs).execute();
  await tx
    .insertInto('sessions')
    .values({
      hash: hashSecret(token),
      principal,
      created_at: nowMs,
      last_seen_at: nowMs,
      expires_at: nowMs + SESSION_MAX_MS,
    })
    .execute();
  return token;
}

/** The session of the cookie's token, if it is alive. */
export async function findSession(
  db: Database,
  token: string | undefined,
  nowMs: number,
): Promise<Session | undefined> {
  if (token === undefined || secretKind(token) !== 'session') return undefined;
  const hash = hashSecret(token);
  const row = await db
    .selectFrom('sessions')
    .innerJoin('accounts', 'accounts.principal', 'sessions.principal')
    .select(['sessions.principal', 'sessions.last_seen_at', 'sessions.expires_at'])
    .where('sessions.hash', '=', hash)
    .where('accounts.disabled_at', 'is', null)
    .executeTakeFirst();
  if (row === undefined || row.expires_at <= nowMs || row.last_seen_at + SESSION_IDLE_MS <= nowMs) return undefined;
  if (row.last_seen_at + SEEN_EVERY_MS <= nowMs)
    await db.updateTable('sessions').set({ last_seen_at: nowMs }).where('hash', '=', hash).execute();
  return { hash, principal: row.principal as PrincipalId };
}

export async function endSession(tx: Transaction, hash: string): Promise<void> {
  await tx.deleteFrom('sessions').where('hash', '=', hash).execute();
}

/** How many there were. */
export async function endSessions(tx: Transaction, principal: PrincipalId): Promise<number> {
  const { numDeletedRows } = await tx.deleteFrom('sessions').where('principal', '=', principal).executeTakeFirst();
  return Number(numDeletedRows);
}

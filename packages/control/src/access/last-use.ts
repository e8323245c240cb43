/** When credentials were last used, as gateways tell: written in batches, at most once a minute for each. */
import { sql } from 'kysely';
import type { Kysely } from 'kysely';
import type { Schema } from '../store/schema.ts';

export async function saveLastUse(
  tx: Kysely<Schema>,
  credentials: readonly (readonly [id: string, atMs: number])[],
): Promise<void> {
  if (credentials.length === 0) return;
  const ids = credentials.map(([id]) => id);
  const times = credentials.map(([, atMs]) => atMs);
  const given = sql`unnest(${ids}::text[], ${times}::bigint[]) as given (id, at)`;
  // A time that a gateway's clock has run ahead to is not taken back by another's.
  await sql`update subcloud_tokens set last_used_at = greatest(last_used_at, given.at) from ${given} where subcloud_tokens.id = given.id`.execute(
    tx,
  );
  await sql`update account_keys set last_used_at = greatest(last_used_at, given.at) from ${given} where account_keys.id = given.id`.execute(
    tx,
  );
}

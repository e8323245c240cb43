/** An account key made: the row, and the same for the world and the table. The secret is in what is returned and nowhere else. */
import { newId } from '@subcloud/kit/clock';
import { hashSecret, newSecret } from '@subcloud/kit/secrets';
import type { PrincipalId } from '@subcloud/policy/principal';
import { stageCredential } from '../compile/access-rows.ts';
import type { Transaction } from '../loop.ts';
import type { PassContext } from '../pass.ts';
import { insertEvents } from '../store/events.ts';
import type { World } from '../world/world.ts';

export interface IssuedKey {
  readonly id: string;
  readonly principal: PrincipalId;
  readonly key: string;
  readonly expiresAtMs: number | null;
  readonly apply: (world: World) => void;
}

export async function issueKey(
  tx: Transaction,
  { table }: Pick<PassContext, 'table'>,
  wanted: {
    readonly principal: PrincipalId;
    readonly name: string | null;
    readonly expiresAtMs: number | null;
    readonly by: string;
    readonly nowMs: number;
  },
): Promise<IssuedKey> {
  const { principal, name, expiresAtMs, by, nowMs } = wanted;
  const key = newSecret('account');
  const hash = hashSecret(key);
  const id = newId('key');
  const row = { id, principal, name, hash, created_at: nowMs, expires_at: expiresAtMs, revoked_at: null };
  await tx.insertInto('account_keys').values(row).execute();
  const detail = { id };
  await insertEvents(
    tx,
    [{ kind: 'key.created', node: null, subcloud: null, principal, actor: by, reason: 'by request', detail }],
    nowMs,
  );
  return {
    id,
    principal,
    key,
    expiresAtMs,
    apply: (world) => {
      const credential = { id, kind: 'account', principal, pool: null, expiresAt: expiresAtMs } as const;
      world.credentials.set(hash, credential);
      stageCredential(world, table, hash, credential);
    },
  };
}

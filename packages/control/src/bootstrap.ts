/**
 * The first start of a network: its id, its admin token, a first account with a key. Later starts find them. The folder
 * and the database belong together; a database of another network is refused.
 */
import { join } from 'node:path';
import * as z from 'zod';
import { type Clock, newId } from '@subcloud/kit/clock';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import { hashSecret, newSecret } from '@subcloud/kit/secrets';
import { StartError } from '@subcloud/kit/start-error';
import { appendAudit } from './audit/append.ts';
import { type Authority, openAuthority } from './authority.ts';
import type { Database } from './store/database.ts';
import { GLOBAL_ID } from './world/world.ts';

const credentialsFile = z.object({
  networkId: z.string(),
  adminToken: z.string(),
  apiKey: z.string(),
  principal: z.string(),
});
export type Credentials = z.infer<typeof credentialsFile>;
const FIRST_PRINCIPAL = 'user:admin';

export interface Network {
  readonly authority: Authority;
  readonly adminTokenHash: string;
}

/** Throws when the database is of another network than the keys in `dataDir`. */
export async function bootstrap(options: {
  readonly db: Database;
  readonly dataDir: string;
  readonly clock: Clock;
}): Promise<Network> {
  const { db, dataDir, clock } = options;
  const stored = await db.selectFrom('network').select(['id', 'network_key']).executeTakeFirst();
  const path = join(dataDir, 'credentials.json');
  const text = readFileIfPresent(path);
  const found = text === undefined ? undefined : credentialsFile.parse(JSON.parse(text));
  // The file comes before the rows, so that a first start that died in between goes on with the same secrets.
  const credentials: Credentials = found ?? {
    networkId: stored?.id ?? newId('net'),
    adminToken: newSecret('admin'),
    apiKey: newSecret('account'),
    principal: FIRST_PRINCIPAL,
  };
  if (stored !== undefined && credentials.networkId !== stored.id) {
    throw new StartError({
      code: 'config.wrong_database',
      happened: `The database belongs to network ${stored.id}, the folder ${dataDir} to ${credentials.networkId}.`,
      next: 'Give each network its own database and folder.',
    });
  }
  const authority = openAuthority({ folder: join(dataDir, 'keys'), networkId: credentials.networkId, clock });
  if (stored !== undefined && stored.network_key !== authority.networkKey) {
    throw new StartError({
      code: 'config.wrong_database',
      happened: `The database was made with another network key than that in ${join(dataDir, 'keys')}.`,
      next: 'Start from the folder that belongs to this database, or restore its keys.',
    });
  }
  if (found === undefined) writeFileDurably(path, `${JSON.stringify(credentials, null, 2)}\n`);
  await insertFirstRows(db, credentials, authority.networkKey, clock.nowMs());
  return { authority, adminTokenHash: hashSecret(credentials.adminToken) };
}

async function insertFirstRows(
  db: Database,
  credentials: Credentials,
  networkKey: string,
  nowMs: number,
): Promise<void> {
  const adminTokenHash = hashSecret(credentials.adminToken);
  await db.transaction().execute(async (tx) => {
    const stored = await tx.selectFrom('network').select('admin_token_hash').executeTakeFirst();
    await tx
      .insertInto('network')
      .values({
        id: credentials.networkId,
        network_key: networkKey,
        admin_token_hash: adminTokenHash,
        epoch: 1,
        table_version_reserved: 1,
        created_at: nowMs,
      })
      .onConflict((conflict) => conflict.column('only_row').doUpdateSet({ admin_token_hash: adminTokenHash }))
      .execute();
    await tx
      .insertInto('principals')
      .values({ id: credentials.principal, created_at: nowMs })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    await tx
      .insertInto('account_keys')
      .values({
        id: newId('key'),
        principal: credentials.principal,
        name: 'first start',
        hash: hashSecret(credentials.apiKey),
        created_at: nowMs,
        expires_at: null,
        revoked_at: null,
      })
      .onConflict((conflict) => conflict.column('hash').doNothing())
      .execute();
    await tx
      .insertInto('subclouds')
      .values({
        id: GLOBAL_ID,
        name: 'global',
        owner: null,
        revision: 1,
        created_at: nowMs,
        updated_at: nowMs,
        deleted_at: null,
      })
      .onConflict((conflict) => conflict.column('id').doNothing())
      .execute();
    if (stored?.admin_token_hash === adminTokenHash) return;
    const { networkId, principal } = credentials;
    const created = stored === undefined;
    await appendAudit(tx, {
      at: nowMs,
      requestId: 'start',
      actor: 'control',
      role: 'control',
      action: created ? 'network.create' : 'network.replaceAdminToken',
      subject: `network:${networkId}`,
      outcome: 'done',
      code: null,
      reason: created ? 'first start' : 'the data folder has another admin token than before',
      before: null,
      after: created ? { networkKey, principal } : null,
    });
  });
}

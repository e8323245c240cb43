/** The database that belongs to a data folder: one by URL, the one of a running network, or one started for as long as it takes. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ensureDatabase } from '@subcloud/kit/postgres/ensure-database';
import { startPostgres } from '@subcloud/kit/postgres/start-postgres';
import { CliError } from '../cli-error.ts';
import type { CliHost } from '../cli-host.ts';
import { readJsonFile, stateFile, upState } from '../find-network.ts';
import { DATABASE_NAME } from '../up/core-parts.ts';
import { lockData } from '../up/data-lock.ts';

/** Named by SUBCLOUD_DATABASE_URL, which may hold a password and is never a flag. */
export function databaseByUrl({ env }: Pick<CliHost, 'env'>): string | undefined {
  const url = env['SUBCLOUD_DATABASE_URL'];
  return url === undefined || url === '' ? undefined : url;
}

/** To read from, also while the network runs. */
export async function withDatabase<Result>(
  host: CliHost,
  dataDir: string,
  work: (databaseUrl: string) => Promise<Result>,
): Promise<Result> {
  const url = databaseByUrl(host) ?? readJsonFile(stateFile(dataDir), upState)?.databaseUrl;
  if (url !== undefined) return work(url);
  if (!existsSync(join(dataDir, 'postgres')))
    throw new CliError({
      code: 'client.no_network',
      message: `There is no network in ${dataDir}.`,
      next: 'Name its data folder with --data DIR, or its database with SUBCLOUD_DATABASE_URL.',
    });
  return withOwnDatabase(host, dataDir, work);
}

/** One of our own, which nobody else runs from this folder meanwhile. */
export async function withOwnDatabase<Result>(
  { clock }: Pick<CliHost, 'clock'>,
  dataDir: string,
  work: (databaseUrl: string) => Promise<Result>,
): Promise<Result> {
  const lock = await lockData(dataDir);
  try {
    await using postgres = await startPostgres({ dataDir: join(dataDir, 'postgres'), clock });
    await ensureDatabase(postgres.connectionString('postgres'), DATABASE_NAME);
    return await work(postgres.connectionString(DATABASE_NAME));
  } finally {
    await lock.release();
  }
}

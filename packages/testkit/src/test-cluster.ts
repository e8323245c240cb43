import { mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@subcloud/kit/clock';
import { isFolderFree } from '@subcloud/kit/postgres/folder-claim';
import type { PostgresSettings } from '@subcloud/kit/postgres/postgres-settings';
import { type RunningPostgres, startPostgres } from '@subcloud/kit/postgres/start-postgres';

const folderPrefix = 'subcloud-test-';
const memoryFolder = '/dev/shm';
const minFreeBytes = 1024 ** 3;
/** A folder younger than this may belong to a run that has not claimed it yet. */
const minAbandonedAgeMs = 10 * 60_000;

/** Durable in nothing, since it is thrown away; otherwise the PostgreSQL that users run. */
const settings: PostgresSettings = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  wal_level: 'minimal',
  max_wal_senders: 0,
  autovacuum: 'off',
  max_connections: 200,
};

/** Starts a PostgreSQL for tests, in memory where there is enough. Disposing of it removes its folder and with it every database. */
export async function startTestCluster(): Promise<RunningPostgres> {
  const parent = await roomyFolder();
  await removeAbandoned(parent);
  const dataDir = await mkdtemp(join(parent, folderPrefix));
  let postgres: RunningPostgres;
  try {
    // Nobody waits for an orderly end of what is thrown away.
    postgres = await startPostgres({ dataDir, settings, stopLimits: { fastMs: 0, immediateMs: 5_000 } });
  } catch (error) {
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  }
  return {
    ...postgres,
    [Symbol.asyncDispose]: async () => {
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Containers often get 64 MB of /dev/shm, which is less than one cluster. */
async function roomyFolder(): Promise<string> {
  const space = await statfs(memoryFolder).catch(() => undefined);
  return space !== undefined && space.bavail * space.bsize >= minFreeBytes ? memoryFolder : tmpdir();
}

/** A run that was killed leaves its folder, and that lies in memory. */
async function removeAbandoned(parent: string): Promise<void> {
  for (const entry of await readdir(parent)) {
    if (!entry.startsWith(folderPrefix)) continue;
    const folder = join(parent, entry);
    const found = await stat(folder).catch(() => undefined);
    if (found === undefined || systemClock.nowMs() - found.mtimeMs < minAbandonedAgeMs) continue;
    if (await isFolderFree(folder)) await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  }
}

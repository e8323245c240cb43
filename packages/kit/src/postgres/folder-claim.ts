import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isErrorCode } from './error-code.ts';
import { PostgresStartError } from './postgres-start-error.ts';
import { startMarkOf } from './process-sight.ts';

/** The right to run the cluster in a folder. */
export interface FolderClaim {
  release(): Promise<void>;
}

const claimFileName = 'owner.json';
const claimSchema = z.object({ pid: z.int().positive(), startMark: z.string() });
type Claim = z.infer<typeof claimSchema>;

/** Folders that this very process works on: its own pid in the file would not tell a second start from a repair. */
const claimedHere = new Set<string>();

/**
 * Claims a folder for this process. Without this a second start would take a healthy PostgreSQL for a leftover, and stop it.
 * The claim of a process that is gone, or whose pid now belongs to another one, counts for nothing.
 *
 * @throws PostgresStartError `config.postgres_in_use`
 */
export async function claimFolder(dataDir: string): Promise<FolderClaim> {
  const path = join(dataDir, claimFileName);
  if (claimedHere.has(path)) throw inUse(dataDir, process.pid);
  claimedHere.add(path);
  try {
    await writeClaim(path, dataDir);
  } catch (error) {
    claimedHere.delete(path);
    throw error;
  }
  return {
    release: async () => {
      if (!claimedHere.delete(path)) return;
      await rm(path, { force: true });
    },
  };
}

async function writeClaim(path: string, dataDir: string): Promise<void> {
  const claim: Claim = { pid: process.pid, startMark: (await startMarkOf(process.pid)) ?? '' };
  const own = `${path}.${process.pid}`;
  await writeFile(own, `${JSON.stringify(claim)}\n`, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        // A link is made whole or not at all, and only where there is none: of two starts at one moment one is refused.
        await link(own, path);
        return;
      } catch (error) {
        if (!isErrorCode(error, 'EEXIST')) throw error;
      }
      const found = await readFile(path, 'utf8').catch(() => '');
      const holder = await liveHolderIn(found);
      if (holder !== undefined) throw inUse(dataDir, holder);
      await removeStale(path, found);
    }
    throw inUse(dataDir, undefined);
  } finally {
    await rm(own, { force: true });
  }
}

/** Takes the stale claim away, unless another start has put its own there in the meantime. */
async function removeStale(path: string, stale: string): Promise<void> {
  const aside = `${path}.${process.pid}.stale`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return;
    throw error;
  }
  if ((await readFile(aside, 'utf8')) !== stale) await link(aside, path);
  await rm(aside, { force: true });
}

/** True if no live process holds the folder's claim. */
export async function isFolderFree(dataDir: string): Promise<boolean> {
  return (await liveHolderIn(await readFile(join(dataDir, claimFileName), 'utf8').catch(() => ''))) === undefined;
}

/** The pid of the live process that a claim names. A claim that cannot be read names nobody. */
async function liveHolderIn(text: string): Promise<number | undefined> {
  let claim: Claim;
  try {
    claim = claimSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
  return (await startMarkOf(claim.pid)) === claim.startMark && claim.pid !== process.pid ? claim.pid : undefined;
}

function inUse(dataDir: string, pid: number | undefined): PostgresStartError {
  return new PostgresStartError({
    fault: 'config.postgres_in_use',
    happened: `The database folder ${dataDir} is in use by ${pid === undefined ? 'another start' : `process ${pid}`}.`,
    nextStep: 'Stop that one first, or choose another data folder.',
  });
}

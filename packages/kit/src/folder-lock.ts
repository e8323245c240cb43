/**
 * A folder that only one process may use. The lock is a file that names its holder by pid and by the boot and tick at
 * which that process started: the lock of a process that is gone counts for nothing, also when another has its pid.
 * Processes that cannot see each other (two machines on one network folder) are not kept apart.
 */
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { isErrorCode } from './postgres/error-code.ts';
import { startMarkOf } from './postgres/process-sight.ts';

export interface FolderLock {
  release(): Promise<void>;
}

const holderSchema = z.object({ pid: z.int().positive(), startMark: z.string().min(1) });
const MAX_ATTEMPTS = 3;
/** Folders that this very process uses: by its own pid a second use could not be told from the first. */
const lockedHere = new Set<string>();

/** `inUse` makes the error of a folder that is taken; its pid is undefined when that of another start at this moment. */
export async function lockFolder(
  folder: string,
  name: string,
  inUse: (pid: number | undefined) => Error,
): Promise<FolderLock> {
  const path = join(folder, name);
  if (lockedHere.has(path)) throw inUse(process.pid);
  lockedHere.add(path);
  try {
    const text = await take(path, inUse);
    return {
      async release() {
        if (!lockedHere.delete(path)) return;
        if ((await textOf(path)) === text) await rm(path, { force: true });
      },
    };
  } catch (error) {
    lockedHere.delete(path);
    throw error;
  }
}

async function take(path: string, inUse: (pid: number | undefined) => Error): Promise<string> {
  const own = `${path}.${process.pid}`;
  const text = `${JSON.stringify({ pid: process.pid, startMark: (await startMarkOf(process.pid)) ?? 'unknown' })}\n`;
  await writeFile(own, text, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      try {
        // A link is made whole or not at all, and only where there is none: of two starts at one moment one is refused.
        await link(own, path);
        return text;
      } catch (error) {
        if (!isErrorCode(error, 'EEXIST')) throw error;
      }
      const found = await textOf(path);
      const holder = await liveHolder(found);
      if (holder !== undefined) throw inUse(holder);
      await removeStale(path, found);
    }
  } finally {
    await rm(own, { force: true });
  }
  throw inUse(undefined);
}

/** The live process that a lock names. One that cannot be read names nobody. */
async function liveHolder(text: string): Promise<number | undefined> {
  try {
    const { pid, startMark } = holderSchema.parse(JSON.parse(text));
    return (await startMarkOf(pid)) === startMark ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Takes a stale lock away, unless another start has put its own there in the meantime. */
async function removeStale(path: string, stale: string): Promise<void> {
  const aside = `${path}.${process.pid}.stale`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return;
    throw error;
  }
  if ((await textOf(aside)) !== stale) {
    await link(aside, path).catch((error: unknown) => {
      if (!isErrorCode(error, 'EEXIST')) throw error;
    });
  }
  await rm(aside, { force: true });
}

function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

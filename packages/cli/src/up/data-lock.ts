import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrorCode } from '@subcloud/kit/postgres/error-code';
import { startMarkOf } from '@subcloud/kit/postgres/process-sight';
import * as z from 'zod';
import { CliError } from '../cli-error.ts';
import { readJsonFile, stateFile, upState } from '../find-network.ts';

export interface DataLock {
  release(): Promise<void>;
}

const holderShape = z.object({ pid: z.int().positive(), startMark: z.string().min(1) });
const MAX_ATTEMPTS = 3;

/**
 * Takes the data folder for this process. The lock names its holder by pid and by the boot and tick at which that process
 * started, so that the lock of a process that is gone counts for nothing, also when its pid belongs to another by now.
 *
 * @throws CliError `config.data_in_use`, with the pid and the URL of the one that holds it
 */
export async function lockData(dataDir: string): Promise<DataLock> {
  const path = lockFile(dataDir);
  await mkdir(join(dataDir, 'run'), { recursive: true, mode: 0o700 });
  const own = `${path}.${process.pid}`;
  const text = `${JSON.stringify({ pid: process.pid, startMark: (await startMarkOf(process.pid)) ?? 'unknown' })}\n`;
  await writeFile(own, text, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      try {
        // A link appears whole or not at all, and only where there is none: of two starts at one moment one is refused.
        await link(own, path);
        return { release: () => removeOwn(path, text) };
      } catch (error) {
        if (!isErrorCode(error, 'EEXIST')) throw error;
      }
      const found = await readFile(path, 'utf8').catch(() => '');
      const holder = await liveHolder(found);
      if (holder !== undefined) throw inUse(dataDir, holder);
      await removeStale(path, found);
    }
  } finally {
    await rm(own, { force: true });
  }
  throw inUse(dataDir, undefined);
}

export function lockFile(dataDir: string): string {
  return join(dataDir, 'run', 'up.lock');
}

/** The pid of the live process that a lock names. A lock that cannot be read names nobody. */
async function liveHolder(text: string): Promise<number | undefined> {
  try {
    const { pid, startMark } = holderShape.parse(JSON.parse(text));
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
  if ((await readFile(aside, 'utf8')) !== stale) {
    await link(aside, path).catch((error: unknown) => {
      if (!isErrorCode(error, 'EEXIST')) throw error;
    });
  }
  await rm(aside, { force: true });
}

async function removeOwn(path: string, text: string): Promise<void> {
  if ((await readFile(path, 'utf8').catch(() => '')) === text) await rm(path, { force: true });
}

function inUse(dataDir: string, pid: number | undefined): CliError {
  const state = readJsonFile(stateFile(dataDir), upState);
  const holder = pid === undefined ? 'another start' : `process ${pid}`;
  const where = state !== undefined && state.pid === pid ? ` and serves ${state.url}` : '';
  return new CliError({
    code: 'config.data_in_use',
    message: `The data folder ${dataDir} is in use: ${holder} runs the network from it${where}.`,
    next: `Use that one, or stop it first${pid === undefined ? '' : ` (kill ${pid})`}, or start another with --data DIR and --port N.`,
    details: { pid: pid ?? null, url: state?.url ?? null },
  });
}

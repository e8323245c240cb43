import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type FolderLock, lockFolder } from '@subcloud/kit/folder-lock';
import { CliError } from '../cli-error.ts';
import { readJsonFile, stateFile, upState } from '../find-network.ts';

const LOCK_NAME = 'up.lock';

/**
 * Takes the data folder for this process.
 *
 * @throws CliError `config.data_in_use`, with the pid and the URL of the one that holds it
 */
export async function lockData(dataDir: string): Promise<FolderLock> {
  const folder = join(dataDir, 'run');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return lockFolder(folder, LOCK_NAME, (pid) => inUse(dataDir, pid));
}

export function lockFile(dataDir: string): string {
  return join(dataDir, 'run', LOCK_NAME);
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

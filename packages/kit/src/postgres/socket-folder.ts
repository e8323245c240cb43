import { createHash } from 'node:crypto';
import { chmod, chown, lstat, mkdir, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isErrorCode } from './error-code.ts';
import { PostgresStartError } from './postgres-start-error.ts';

/** Names the socket file and nothing else: PostgreSQL listens on no network address. */
export const socketPort = 5432;

/** A socket's path, ending zero included, must fit into 104 bytes on macOS and 108 on Linux. */
const maxSocketPathBytes = 103;

/**
 * The folder of PostgreSQL's Unix socket: below the data folder, or, where that path is too long for a socket, a folder below the
 * temporary folder that the same data folder always gets. Only its owner may enter it, and that is the whole access control of the
 * database: whoever can open the socket could as well read the data files.
 *
 * @throws PostgresStartError `config.postgres_folder`
 */
export async function prepareSocketFolder(
  dataDir: string,
  owner: { readonly uid: number; readonly gid: number } | undefined,
  temporaryDir: string = tmpdir(),
): Promise<string> {
  const short = `subcloud-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`;
  const path = [join(dataDir, 'socket'), join(temporaryDir, short)].find(fits) ?? join('/tmp', short);
  await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
    if (!isErrorCode(error, 'EEXIST')) throw error;
  });
  const found = await lstat(path);
  // In a shared temporary folder somebody else may have made a folder of this name first, to read along.
  if (!found.isDirectory() || (found.uid !== process.getuid?.() && found.uid !== owner?.uid)) {
    throw new PostgresStartError({
      fault: 'config.postgres_folder',
      happened: `${path}, where the database's socket goes, is not a folder of ours.`,
      nextStep: 'Find out who made it, remove it, and start again.',
    });
  }
  await chmod(path, 0o700);
  if (owner !== undefined) await chown(path, owner.uid, owner.gid);
  return path;
}

/** Leaves nothing behind in the temporary folder. A killed PostgreSQL's socket keeps the folder, for the next start. */
export async function removeSocketFolder(path: string): Promise<void> {
  await rmdir(path).catch(() => undefined);
}

function fits(folder: string): boolean {
  return Buffer.byteLength(join(folder, `.s.PGSQL.${socketPort}`)) <= maxSocketPathBytes;
}

import { chmod, chown, mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, systemClock } from '../clock.ts';
import { type Log, silentLog } from '../log.ts';
import { isErrorCode } from './error-code.ts';
import { claimFolder } from './folder-claim.ts';
import { initCluster, serviceRole } from './init-cluster.ts';
import { clearLeftovers, defaultStopLimits, type StopLimits } from './leftover-postmaster.ts';
import { findPostgresBinaries } from './postgres-binaries.ts';
import { defaultSettings, type PostgresSettings, settingArguments } from './postgres-settings.ts';
import { PostgresStartError } from './postgres-start-error.ts';
import { type PostgresExit, type Postmaster, spawnPostmaster } from './postmaster.ts';
import { chooseRunAs } from './run-as.ts';
import { prepareSocketFolder, removeSocketFolder, socketPort } from './socket-folder.ts';
import { type SocketAddress, socketUrl } from './socket-url.ts';

export interface StartPostgresOptions {
  /** A folder that is ours alone; made when missing. It gets `cluster/`, `socket/` and `owner.json`. */
  readonly dataDir: string;
  readonly clock?: Clock;
  readonly log?: Log;
  /** Win over the defaults. `fsync: 'off'` also skips syncing while the cluster is made: for tests only. */
  readonly settings?: PostgresSettings;
  /** Ends the start. A PostgreSQL that runs is ended by `stop`. */
  readonly signal?: AbortSignal;
  /** Until connections are accepted, recovery after a crash included. Default 60 s. */
  readonly startLimitMs?: number;
  readonly stopLimits?: StopLimits;
}

/** A running PostgreSQL that belongs to this process. Its `user` is the role that services use: it may make databases and is no superuser. */
export interface RunningPostgres extends AsyncDisposable, SocketAddress {
  /** The postmaster's. */
  readonly pid: number;
  /** A URL for `pg` and libpq, without a secret. The database `subcloud` exists and belongs to `user`. */
  connectionString(database: string): string;
  /** Resolves when it is gone and its folder may be used again, for whatever reason. Never rejects. */
  readonly exited: Promise<PostgresExit>;
  /** Ends sessions, writes a checkpoint, stops; at once after a time. Resolves as `exited` does; may be called again. */
  stop(): Promise<void>;
}

/**
 * Runs a real PostgreSQL of our own from the binaries that npm brings: no other service to install.
 *
 * What holds:
 * - It is reachable through a Unix socket in a folder that only its owner may enter, and through nothing else.
 * - At most one live process owns a data folder; a second start is refused and does not disturb the first.
 * - Whatever was killed (this process, the postmaster, both, a start half-way), the next start on the folder repairs it.
 * - It ends with our process, however that ends. Where the system has no means for that, the next start stops what is left.
 *
 * On failure nothing of it runs on, and the folder is free again.
 *
 * @throws PostgresStartError
 */
export async function startPostgres(options: StartPostgresOptions): Promise<RunningPostgres> {
  const { signal, log = silentLog } = options;
  const dataDir = await prepareDataDir(options.dataDir);
  const claim = await claimFolder(dataDir);
  try {
    const { postmaster, socketDir } = await startClaimed(dataDir, { ...options, log });
    const exited = postmaster.exited.then(async (exit) => {
      await removeSocketFolder(socketDir);
      await claim.release().catch((error: unknown) => log.warn({ error }, 'the folder claim could not be removed'));
      return exit;
    });
    const stop = async () => {
      await postmaster.stop(options.stopLimits ?? defaultStopLimits);
      await exited;
    };
    return {
      socketDir,
      port: socketPort,
      user: serviceRole,
      pid: postmaster.pid,
      connectionString: (database) => socketUrl({ socketDir, port: socketPort, user: serviceRole }, database),
      exited,
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await claim.release();
    if (signal?.aborted !== true) throw error;
    throw new PostgresStartError({
      fault: 'client.postgres_start_aborted',
      happened: 'The start of PostgreSQL was called off.',
      nextStep: 'Nothing is left running; start again at any time.',
      cause: error,
    });
  }
}

async function startClaimed(
  dataDir: string,
  options: StartPostgresOptions & { readonly log: Log },
): Promise<{ postmaster: Postmaster; socketDir: string }> {
  const { log, signal, clock = systemClock, stopLimits = defaultStopLimits } = options;
  const settings = { ...defaultSettings, ...options.settings };
  const clusterDir = join(dataDir, 'cluster');

  const binaries = await findPostgresBinaries();
  signal?.throwIfAborted();
  const runAs = await chooseRunAs({ binaries, dataDir, clusterDir, log });
  if (runAs.owner !== undefined) await chown(dataDir, runAs.owner.uid, runAs.owner.gid);
  const socketDir = await prepareSocketFolder(dataDir, runAs.owner);
  await clearLeftovers({ executable: await realpath(binaries.postgres), clusterDir, clock, log, limits: stopLimits });
  await initCluster({ binaries, runAs, dataDir, clusterDir, settings, log, signal });

  const unchangeable = {
    listen_addresses: '',
    unix_socket_directories: quoteListEntry(socketDir),
    unix_socket_permissions: '0700',
    port: socketPort,
  };
  const postmaster = await spawnPostmaster({
    commandLine: [...runAs.prefix, binaries.postgres, '-D', clusterDir, ...settingArguments(settings, unchangeable)],
    clock,
    log,
    signal,
    startLimitMs: options.startLimitMs ?? 60_000,
    stopLimits,
  });
  log.info({ pid: postmaster.pid, as: runAs.describe }, 'PostgreSQL accepts connections');
  return { postmaster, socketDir };
}

/** Returns the real path: processes are recognised by it. */
async function prepareDataDir(dataDir: string): Promise<string> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await chmod(dataDir, 0o700);
    return await realpath(dataDir);
  } catch (cause) {
    const why = isErrorCode(cause, 'EACCES', 'EPERM', 'EROFS') ? 'may not be made or written' : 'cannot be made';
    throw new PostgresStartError({
      fault: 'config.postgres_folder',
      happened: `The database folder ${dataDir} ${why}.`,
      nextStep: 'Choose another data folder, or give this one to the user who starts the program.',
      cause,
    });
  }
}

/** A value that PostgreSQL reads as a comma-separated list, with one entry. */
function quoteListEntry(path: string): string {
  return `"${path.replaceAll('"', '""')}"`;
}

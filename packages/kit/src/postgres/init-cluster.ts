import { randomUUID } from 'node:crypto';
import { open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../log.ts';
import { isErrorCode } from './error-code.ts';
import { type PostgresBinaries, postgresMajorVersion } from './postgres-binaries.ts';
import { type PostgresSettings, settingArguments } from './postgres-settings.ts';
import { PostgresStartError } from './postgres-start-error.ts';
import type { RunAs } from './run-as.ts';
import { runProgram } from './run-program.ts';

/** The role that services use. It may make databases and is no superuser: SQL of ours, or injected, reaches no file and no program. */
export const serviceRole = 'subcloud';

/** The database that comes with the cluster, owned by the role above. */
export const serviceDatabase = 'subcloud';

/** PostgreSQL's own superuser, used by nothing of ours after the cluster is made. */
const superuser = 'postgres';

/** The same order and case rules on every machine, whatever its C library brings: byte order, Unicode's case mapping. */
const sameOrder = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];

/**
 * The socket lies in a folder that only its owner may enter, and a process that may enter it could read the data files as well. A
 * password would have to lie beside them. Nothing listens on TCP; should anybody switch that on, it admits nobody.
 */
const noPassword = ['--auth-local=trust', '--auth-host=reject'];

const unfinishedPrefix = 'cluster.new-';

export interface InitQuestion {
  readonly binaries: PostgresBinaries;
  readonly runAs: RunAs;
  readonly dataDir: string;
  readonly clusterDir: string;
  readonly settings: PostgresSettings;
  readonly log: Log;
  readonly signal: AbortSignal | undefined;
}

/**
 * Makes the cluster if there is none. It is made beside its place and moved there when it is complete and on disk, so that a start
 * that was killed half-way leaves nothing that the next one could take for a database.
 *
 * @throws PostgresStartError
 */
export async function initCluster(question: InitQuestion): Promise<void> {
  const { dataDir, clusterDir, runAs } = question;
  if (await holdsUsableCluster(clusterDir)) return;
  await removeUnfinished(dataDir, question.log);
  question.log.info({ folder: dataDir, as: runAs.describe }, 'making a new database cluster');
  const unfinished = join(dataDir, `${unfinishedPrefix}${randomUUID()}`);
  const inMemory = question.settings['fsync'] === 'off';
  const initdbArguments = [
    '-D',
    unfinished,
    '-U',
    superuser,
    '--encoding=UTF8',
    '--no-instructions',
    ...sameOrder,
    ...noPassword,
  ];
  await step(question, question.binaries.initdb, inMemory ? [...initdbArguments, '--no-sync'] : initdbArguments);
  await step(
    question,
    question.binaries.postgres,
    ['--single', '-D', unfinished, ...settingArguments(inMemory ? { fsync: 'off' } : {}), 'postgres'],
    `create role ${serviceRole} login createdb;\ncreate database ${serviceDatabase} owner ${serviceRole};\n`,
  );
  await rename(unfinished, clusterDir);
  await using folder = await open(dataDir, 'r');
  await folder.sync();
}

/** An initdb whose parent was killed may still be writing for a moment, or cleaning up. What cannot be removed does no harm: names differ. */
async function removeUnfinished(dataDir: string, log: Log): Promise<void> {
  for (const entry of await readdir(dataDir)) {
    if (!entry.startsWith(unfinishedPrefix)) continue;
    await rm(join(dataDir, entry), { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }).catch(
      (error: unknown) => {
        log.warn({ error, entry }, 'an unfinished cluster could not be removed');
      },
    );
  }
}

/** False if there is none. Throws if there is one that these binaries or this user cannot open. */
async function holdsUsableCluster(clusterDir: string): Promise<boolean> {
  let version: string;
  try {
    const owner = (await stat(clusterDir)).uid;
    const uid = process.getuid?.();
    if (uid !== undefined && uid !== 0 && owner !== uid) {
      throw new PostgresStartError({
        fault: 'config.postgres_folder',
        happened: `The database in ${clusterDir} belongs to another user (number ${owner}).`,
        nextStep: 'Start as that user, or choose another data folder.',
      });
    }
    version = (await readFile(join(clusterDir, 'PG_VERSION'), 'utf8')).trim();
  } catch (error) {
    if (isErrorCode(error, 'ENOENT') && !(await exists(clusterDir))) return false;
    if (error instanceof PostgresStartError) throw error;
    throw new PostgresStartError({
      fault: 'config.postgres_folder',
      happened: `${clusterDir} exists, and is not a database that can be read.`,
      nextStep: 'Restore it from a backup, or move it away to start with an empty network.',
      cause: error,
    });
  }
  if (version === postgresMajorVersion) return true;
  throw new PostgresStartError({
    fault: 'config.postgres_folder',
    happened: `The database in ${clusterDir} was made by PostgreSQL ${version}; this program brings PostgreSQL ${postgresMajorVersion}.`,
    nextStep: 'Take a backup with the release that made it, and restore that into a new data folder.',
  });
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function step(question: InitQuestion, program: string, args: readonly string[], input?: string): Promise<void> {
  const [command = program, ...rest] = [...question.runAs.prefix, program, ...args];
  const result = await runProgram({
    command,
    args: rest,
    signal: question.signal,
    ...(input === undefined ? {} : { input }),
  });
  question.signal?.throwIfAborted();
  // A single-user PostgreSQL reports a failed statement and then ends with code 0.
  const failed = result.exitCode !== 0 || result.lastLines.some((line) => /\b(ERROR|FATAL|PANIC):/.test(line));
  if (!failed) return;
  throw new PostgresStartError({
    fault: 'platform.postgres_failed',
    happened: `Making the database cluster in ${question.dataDir} failed (${program}, as ${question.runAs.describe}).`,
    nextStep: 'Look at its last lines: a full disk and a folder without write permission are the usual causes.',
    lastLines: result.lastLines,
  });
}

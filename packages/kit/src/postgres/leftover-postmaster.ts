import { readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { isErrorCode } from './error-code.ts';
import { PostgresStartError } from './postgres-start-error.ts';
import { lookAtProcess, type ProcessSight, processesInside } from './process-sight.ts';

/** The folder whose leftovers are looked for, and how long each step of stopping them may take. */
export interface LeftoverQuestion {
  /** The real path of our `postgres` program. */
  readonly executable: string;
  /** The real path of the cluster. */
  readonly clusterDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly platform?: string;
  readonly limits?: StopLimits;
}

/** How long a PostgreSQL may take to stop before it is told so more plainly. */
export interface StopLimits {
  /** Fast shutdown: sessions are ended, a checkpoint is written. */
  readonly fastMs: number;
  /** Immediate shutdown: no checkpoint, the next start recovers from the log. */
  readonly immediateMs: number;
}

export const defaultStopLimits: StopLimits = { fastMs: 20_000, immediateMs: 10_000 };

const pollMs = 25;

/**
 * Makes a cluster startable after its last life ended in any way. A postmaster that outlived the process which started it is stopped, and
 * its children are waited for. A pid file whose pid now belongs to another process is removed, since PostgreSQL itself would refuse to
 * start over it; that is safe only once no process works on the cluster any more. The caller holds the folder's claim, so what still
 * runs here has no living owner.
 *
 * @throws PostgresStartError `config.postgres_in_use` if it cannot be told what runs there; nothing is stopped or removed then
 */
export async function clearLeftovers(question: LeftoverQuestion): Promise<void> {
  const pidPath = join(question.clusterDir, 'postmaster.pid');
  const pid = await readPid(pidPath);
  if (pid !== undefined) {
    const verdict = judge(await lookAtProcess(pid, question.platform), question);
    if (verdict === 'cannot tell') throw cannotTell(question, pid);
    if (verdict === 'ours') await stopPostmaster(pid, question);
  }
  await waitForChildren(question);
  // PostgreSQL removes the file in an orderly stop. One that is still here names nobody who works on this cluster.
  await rm(pidPath, { force: true });
}

async function stopPostmaster(pid: number, question: LeftoverQuestion): Promise<void> {
  const { clock, log, limits = defaultStopLimits } = question;
  log.warn({ pid }, 'stopping the PostgreSQL that outlived its last owner');
  const gone = async () => judge(await lookAtProcess(pid, question.platform), question) !== 'ours';
  send(pid, 'SIGINT', question);
  if (await comesTrue(gone, limits.fastMs, clock)) return;
  log.warn({ pid }, 'it did not stop in time: stopping it without a checkpoint');
  send(pid, 'SIGQUIT', question);
  if (await comesTrue(gone, limits.immediateMs, clock)) return;
  throw stillRunning(question, pid);
}

/** The first line of the pid file; `undefined` if there is none, or half a one. */
async function readPid(pidPath: string): Promise<number | undefined> {
  const text = await readFile(pidPath, 'utf8').catch(() => '');
  const pid = Number.parseInt(text.split('\n')[0] ?? '', 10);
  return Number.isSafeInteger(pid) && pid > 1 ? pid : undefined;
}

function judge(sight: ProcessSight, question: LeftoverQuestion): 'ours' | 'not ours' | 'cannot tell' {
  switch (sight.state) {
    case 'absent':
      return 'not ours';
    case 'hidden':
      return 'cannot tell';
    case 'seen':
      if (sight.workingDir !== question.clusterDir) return 'not ours';
      if (sight.executable === question.executable) return 'ours';
      // Some other PostgreSQL that was started on this folder by hand; a shell that stands in the folder is none.
      return basename(sight.executable).startsWith('postgres') ? 'cannot tell' : 'not ours';
    case 'named': {
      const ours = `${question.executable} -D ${question.clusterDir}`;
      if (sight.commandLine === ours || sight.commandLine.startsWith(`${ours} `)) return 'ours';
      return sight.commandLine.includes('postgres') ? 'cannot tell' : 'not ours';
    }
  }
}

/** A killed postmaster's children notice within milliseconds and end; one that computes may need to be told. */
async function waitForChildren(question: LeftoverQuestion): Promise<void> {
  const { clock, limits = defaultStopLimits } = question;
  const inside = async () => (await processesInside(question.executable, question.clusterDir, question.platform)) ?? [];
  const empty = async () => (await inside()).length === 0;
  if (await comesTrue(empty, limits.immediateMs, clock)) return;
  for (const pid of await inside()) send(pid, 'SIGQUIT', question);
  if (await comesTrue(empty, limits.immediateMs, clock)) return;
  throw stillRunning(question, (await inside())[0]);
}

function send(pid: number, signal: NodeJS.Signals, question: LeftoverQuestion): void {
  try {
    process.kill(pid, signal);
  } catch (cause) {
    if (isErrorCode(cause, 'ESRCH')) return;
    throw stillRunning(question, pid, cause);
  }
}

async function comesTrue(condition: () => Promise<boolean>, limitMs: number, clock: Clock): Promise<boolean> {
  const deadline = clock.monotonicMs() + limitMs;
  for (;;) {
    if (await condition()) return true;
    if (clock.monotonicMs() >= deadline) return false;
    await clock.sleep(pollMs);
  }
}

function cannotTell(question: LeftoverQuestion, pid: number): PostgresStartError {
  return new PostgresStartError({
    fault: 'config.postgres_in_use',
    happened: `The database in ${question.clusterDir} names process ${pid} as its PostgreSQL; that process lives, and it cannot be told whether it is ours.`,
    nextStep: `Look at it (\`ps -p ${pid}\`). Stop it if it is a PostgreSQL; if it is not, remove ${join(question.clusterDir, 'postmaster.pid')}.`,
  });
}

function stillRunning(question: LeftoverQuestion, pid: number | undefined, cause?: unknown): PostgresStartError {
  return new PostgresStartError({
    fault: 'config.postgres_in_use',
    happened: `An earlier PostgreSQL${pid === undefined ? '' : ` (process ${pid})`} still works on ${question.clusterDir} and could not be stopped.`,
    nextStep: 'Stop it as the user that it runs as, and start again.',
    cause,
  });
}

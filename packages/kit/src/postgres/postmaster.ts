import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { StopLimits } from './leftover-postmaster.ts';
import { PostgresStartError } from './postgres-start-error.ts';
import { programEnvironment } from './run-program.ts';

/** How a PostgreSQL ended: by itself with a code, or by a signal. */
export interface PostgresExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A PostgreSQL that accepts connections. */
export interface Postmaster {
  readonly pid: number;
  /** Resolves when it is gone, for whatever reason. Never rejects. */
  readonly exited: Promise<PostgresExit>;
  /** Fast shutdown, sessions ended, checkpoint written; harder after the limits. Resolves when it is gone. */
  stop(limits: StopLimits): Promise<void>;
}

export interface SpawnQuestion {
  readonly commandLine: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal | undefined;
  /** Includes recovery after a crash, which can take its time. */
  readonly startLimitMs: number;
  readonly stopLimits: StopLimits;
}

const readyLine = 'database system is ready to accept connections';
const maxLastLines = 20;
const maxLineLength = 500;

/**
 * Starts PostgreSQL and waits until it accepts connections.
 *
 * @throws PostgresStartError if it ends or does not get ready in time; it is gone then
 */
export async function spawnPostmaster(question: SpawnQuestion): Promise<Postmaster> {
  const { clock, log, signal } = question;
  signal?.throwIfAborted();
  const [command = '', ...args] = question.commandLine;
  const child = spawn(command, args, {
    cwd: '/',
    env: programEnvironment,
    stdio: ['ignore', 'ignore', 'pipe'],
    // A process group of its own: Ctrl-C in the terminal reaches us, and the database stops after those who use it.
    detached: true,
  });
  const lastLines: string[] = [];
  let startFailure: Error | undefined;
  const exited = new Promise<PostgresExit>((resolve) => {
    child.once('error', (error) => {
      startFailure = error;
      if (child.pid === undefined) resolve({ code: null, signal: null });
    });
    child.once('exit', (code, killedBy) => resolve({ code, signal: killedBy }));
  });
  const ready = new Promise<'ready'>((resolve) => {
    if (child.stderr === null) return;
    createInterface({ input: child.stderr }).on('line', (raw) => {
      const line = raw.slice(0, maxLineLength);
      lastLines.push(line);
      if (lastLines.length > maxLastLines) lastLines.shift();
      if (/^(WARNING|ERROR|FATAL|PANIC):/.test(line)) log.warn({ postgres: line }, 'PostgreSQL reports');
      else log.debug({ postgres: line }, 'PostgreSQL reports');
      if (line.includes(readyLine)) resolve('ready');
    });
  });

  const outcome = await firstOf(question, ready, exited);
  if (outcome === 'ready' && child.pid !== undefined) {
    return { pid: child.pid, exited, stop: (limits) => stopChild(child, exited, clock, limits) };
  }
  await stopChild(child, exited, clock, { fastMs: 0, immediateMs: question.stopLimits.immediateMs });
  signal?.throwIfAborted();
  throw new PostgresStartError({
    fault: 'platform.postgres_failed',
    happened:
      outcome === 'too slow'
        ? `PostgreSQL did not accept connections within ${question.startLimitMs} ms.`
        : 'PostgreSQL ended while it started.',
    nextStep: 'Look at its last lines: a full disk, too little memory and a damaged folder are the usual causes.',
    lastLines,
    cause: startFailure,
  });
}

async function firstOf(
  question: SpawnQuestion,
  ready: Promise<'ready'>,
  exited: Promise<PostgresExit>,
): Promise<'ready' | 'ended' | 'too slow' | 'aborted'> {
  const waiting = new AbortController();
  const giveUp = question.signal === undefined ? waiting.signal : AbortSignal.any([waiting.signal, question.signal]);
  const limit = question.clock.sleep(question.startLimitMs, giveUp).then(
    () => 'too slow' as const,
    () => 'aborted' as const,
  );
  try {
    return await Promise.race([ready, exited.then(() => 'ended' as const), limit]);
  } finally {
    waiting.abort();
  }
}

async function stopChild(
  child: ChildProcess,
  exited: Promise<PostgresExit>,
  clock: Clock,
  limits: StopLimits,
): Promise<void> {
  const steps = [
    { signal: 'SIGINT', limitMs: limits.fastMs },
    { signal: 'SIGQUIT', limitMs: limits.immediateMs },
    { signal: 'SIGKILL', limitMs: undefined },
  ] as const;
  for (const { signal, limitMs } of steps) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    child.kill(signal);
    if (limitMs === undefined) break;
    const timer = new AbortController();
    const expired = clock.sleep(limitMs, timer.signal).catch(() => undefined);
    await Promise.race([exited, expired]);
    timer.abort();
  }
  await exited;
}

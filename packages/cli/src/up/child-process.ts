import { type ChildProcess, spawn } from 'node:child_process';
import type { Clock } from '@subcloud/kit/clock';
import * as z from 'zod';
import { CliError } from '../cli-error.ts';
import { readLines } from './bounded-lines.ts';
import type { Running } from './keep-running.ts';

export interface ChildOptions {
  readonly name: string;
  /** The file that Node runs. */
  readonly entry: string;
  readonly args?: readonly string[];
  /** Options of Node itself. */
  readonly nodeFlags?: readonly string[];
  readonly cwd?: string;
  /** All of its environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Takes every line that it writes. */
  readonly onLine: (line: string) => void;
  readonly clock: Clock;
  readonly readyLimitMs: number;
  /** The key of the object by which it reports. Default `ready`. */
  readonly reportKey?: string;
  /** From the request to stop until it is killed. */
  readonly stopLimitMs: number;
}

/** A child that has said it is ready. */
export interface RunningChild extends Running {
  readonly pid: number;
  /** What it said of itself. */
  readonly ready: unknown;
}

const MAX_LINE_LENGTH = 65_536;
const MAX_LAST_LINES = 8;
const LAST_LINES_LIMIT_MS = 500;

/**
 * Starts a Node program and waits until it reports `{"ready":{…}}`, as a line or over the channel. It has a process group
 * of its own, so that a Ctrl-C reaches it through us, in order; and a channel whose end tells it that we are gone.
 *
 * @throws CliError when it ends or does not get ready in time; it is gone then
 */
export async function startChild(options: ChildOptions, signal: AbortSignal): Promise<RunningChild> {
  signal.throwIfAborted();
  const { name, clock } = options;
  const child = spawn(process.execPath, [...(options.nodeFlags ?? []), options.entry, ...(options.args ?? [])], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...options.env },
    detached: true,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const lastLines: string[] = [];
  let fault: CliError | undefined;
  const exited = exitOf(child, clock);
  const ready = readyReport(child, options.reportKey ?? 'ready', (line) => {
    fault ??= startFault(line);
    if (fault !== undefined) return;
    options.onLine(line);
    lastLines.push(line);
    if (lastLines.length > MAX_LAST_LINES) lastLines.shift();
  });

  const outcome = await firstOf({ ready, exited, clock, limitMs: options.readyLimitMs, signal });
  const { pid } = child;
  if (outcome.kind === 'ready' && pid !== undefined) {
    return {
      pid,
      ready: outcome.ready,
      exited,
      stop: () => stopChild(child, exited, options),
      kill: () => killChild(child),
    };
  }
  await stopChild(child, exited, { ...options, stopLimitMs: outcome.kind === 'ended' ? 0 : options.stopLimitMs });
  signal.throwIfAborted();
  if (fault !== undefined) throw fault;
  throw new CliError({
    code: 'platform.child_failed',
    message: [
      outcome.kind === 'ended'
        ? `${name} ${outcome.cause} while it started.`
        : `${name} was not ready within ${options.readyLimitMs} ms.`,
      ...lastLines.map((line) => `  ${sentenceOf(line)}`),
    ].join('\n'),
    next: 'The lines above, and its log in the data folder, say why.',
  });
}

const CANNOT_START = z.object({
  cannotStart: z.object({
    code: z.templateLiteral([z.enum(['client', 'policy', 'config', 'upstream']), '.', z.string()]),
    happened: z.string(),
    next: z.string(),
  }),
});

/** Where the child itself knows whose fault it is that it cannot start (`kit/start-error`). */
function startFault(line: string): CliError | undefined {
  const said = line.startsWith('{"cannotStart"') ? CANNOT_START.safeParse(parsed(line)).data : undefined;
  if (said === undefined) return undefined;
  const { code, happened, next } = said.cannotStart;
  return new CliError({ code, message: happened, next });
}

type Outcome =
  | { readonly kind: 'ready'; readonly ready: unknown }
  | { readonly kind: 'ended'; readonly cause: string }
  | { readonly kind: 'too slow' };

async function firstOf(question: {
  readonly ready: Promise<unknown>;
  readonly exited: Promise<string>;
  readonly clock: Clock;
  readonly limitMs: number;
  readonly signal: AbortSignal;
}): Promise<Outcome> {
  const waiting = new AbortController();
  const limit = question.clock
    .sleep(question.limitMs, AbortSignal.any([waiting.signal, question.signal]))
    .catch(() => undefined)
    .then((): Outcome => ({ kind: 'too slow' }));
  try {
    return await Promise.race([
      question.ready.then((ready): Outcome => ({ kind: 'ready', ready })),
      question.exited.then((cause): Outcome => ({ kind: 'ended', cause })),
      limit,
    ]);
  } finally {
    waiting.abort();
  }
}

/** Resolves with what the child says of itself when it is ready; never, if it does not. */
function readyReport(child: ChildProcess, key: string, onLine: (line: string) => void): Promise<unknown> {
  return new Promise((resolve) => {
    child.on('message', (message) => {
      const report = reportIn(message, key);
      if (report !== undefined) resolve(report);
    });
    if (child.stderr !== null) readLines(child.stderr, MAX_LINE_LENGTH, onLine);
    if (child.stdout === null) return;
    readLines(child.stdout, MAX_LINE_LENGTH, (line) => {
      const report = line.startsWith(`{"${key}"`) ? reportIn(parsed(line), key) : undefined;
      if (report === undefined) onLine(line);
      else resolve(report);
    });
  });
}

function reportIn(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function exitOf(child: ChildProcess, clock: Clock): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) resolve(`could not be run (${error.message})`);
    });
    child.once('exit', (code, signal) => {
      const cause = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
      // `close` comes after the last line was read, so that the lines that say why are there; a process that inherited
      // the pipes may hold it back for ever.
      child.once('close', () => resolve(cause));
      clock.after(LAST_LINES_LIMIT_MS, () => resolve(cause));
    });
  });
}

async function stopChild(
  child: ChildProcess,
  exited: Promise<string>,
  { clock, stopLimitMs }: Pick<ChildOptions, 'clock' | 'stopLimitMs'>,
): Promise<void> {
  if (!isGone(child)) child.kill('SIGTERM');
  const timer = new AbortController();
  const limit = clock.sleep(stopLimitMs, timer.signal).then(
    () => killChild(child),
    () => undefined,
  );
  await exited;
  timer.abort();
  await limit;
}

function killChild(child: ChildProcess): void {
  if (!isGone(child)) child.kill('SIGKILL');
}

function isGone(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** The message of a log line, or the line. */
function sentenceOf(line: string): string {
  const message = line.startsWith('{') ? reportIn(parsed(line), 'msg') : undefined;
  return typeof message === 'string' ? message : line;
}

/** Child processes of a benchmark: each is waited for until it says that it is ready, and none outlives the run. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type Server, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const READY_TIMEOUT_MS = 60_000;
/** Of USER_HZ, which is 100 on every Linux that Node runs on. */
const TICK_US = 10_000;

export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  /** The first line on stdout, where it was waited for. */
  readonly line: string;
}

const running = new Set<ChildProcess>();

export interface StartOptions {
  readonly command: string;
  readonly arguments: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** A port that it takes connections on, or its first line on stdout. */
  readonly ready: { readonly port: number } | 'first line';
}

/** Rejects with what the program said when it ends before it is ready. */
export async function start(options: StartOptions): Promise<Started> {
  const child = spawn(options.command, [...options.arguments], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  running.add(child);
  let faults = '';
  child.stderr.on('data', (part: Buffer) => {
    if (faults.length < 4_096) faults += part.toString();
  });
  const ended = once(child, 'exit').then(() => {
    running.delete(child);
    throw new Error(`${options.command} ended before it was ready: ${faults}`);
  });
  const line = await Promise.race([
    options.ready === 'first line' ? firstLine(child) : takesConnections(options.ready.port).then(() => ''),
    ended,
    sleep(READY_TIMEOUT_MS, undefined, { ref: false }).then(() => {
      throw new Error(`${options.command} was not ready in time: ${faults}`);
    }),
  ]);
  ended.catch(() => undefined);
  return { child, pid: child.pid ?? 0, line };
}

/** In the order of a drain: the last started first. */
export async function stopAll(): Promise<void> {
  for (const child of [...running].reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const forced = setTimeout(() => child.kill('SIGKILL'), 15_000);
    await gone;
    clearTimeout(forced);
  }
}

/** User and system time of a process so far, microseconds, in steps of 10,000. */
export function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name before it may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    child.stdout?.on('data', (part: Buffer) => {
      if (text.includes('\n')) return;
      text += part.toString();
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
    });
  });
}

async function takesConnections(port: number): Promise<void> {
  for (;;) {
    const taken = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('connect', () => resolve(socket.destroy() === socket));
      socket.on('error', () => resolve(false));
    });
    if (taken) return;
    await sleep(50);
  }
}

/** A port that was free a moment ago, for programs that cannot choose one themselves. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = listenAnywhere();
    server.on('error', reject);
    server.on('listening', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

function listenAnywhere(): Server {
  return createServer().listen(0, '127.0.0.1');
}

/** The processes of the bench: real control by its own entry, and the gateway's side, which answers over IPC. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { NODE_FLAGS } from '../../packages/cli/src/up/core-parts.ts';
import type { Command } from './gateway-process.ts';

const CONTROL = fileURLToPath(new URL('../../packages/control/src/main.ts', import.meta.url));
const GATEWAY = fileURLToPath(new URL('./gateway-process.ts', import.meta.url));
/** 100,000 nodes with 1.5 million claims need more than Node gives by itself. */
const HEAP = '--max-old-space-size=12288';

const PROGRESS_MS = 10_000;

export interface StartedControl extends AsyncDisposable {
  /** From its start until it says that it is ready. */
  readonly readyMs: number;
  residentMiB(): number;
  /** The most that it ever had. */
  peakMiB(): number;
  stop(): Promise<void>;
}

export async function startControl(dataDir: string, databaseUrl: string): Promise<StartedControl> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, [HEAP, CONTROL], {
    env: {
      ...process.env,
      SUBCLOUD_DATA_DIR: dataDir,
      SUBCLOUD_DATABASE_URL: databaseUrl,
      SUBCLOUD_LOG_LEVEL: process.env['BENCH_LOG'] ?? 'error',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { stdout } = child;
  if (stdout === null) throw new Error('no stdout');
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('control ended')));
  ended.catch(() => undefined);
  await Promise.race([once(stdout, 'data'), ended]);
  const stop = (): Promise<void> => stopped(child);
  return {
    readyMs: performance.now() - startedMs,
    residentMiB: () => memoryMiB(child, 'VmRSS'),
    peakMiB: () => memoryMiB(child, 'VmHWM'),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

type Question = Command extends infer Each ? (Each extends Command ? Omit<Each, 'id'> : never) : never;

interface Answer {
  readonly id: number;
  readonly ms: number;
  readonly cpuMs?: number;
}

export interface StartedGateway extends Disposable {
  /** Resolves with the milliseconds that the gateway's process saw go by until it was so. */
  ask(question: Question): Promise<number>;
  /** Resolves when its table has so many rows of members; says now and then how many there are. */
  members(atLeast: number, say: (members: number) => void): Promise<void>;
  /** The longest that its loop did nothing else, since the last time it was asked: by the clock, and in CPU of its thread. */
  stall(): Promise<{ readonly ms: number; readonly cpuMs: number }>;
}

export function startGateway(folder: string, networkId: string, nodes: number, subclouds: number): StartedGateway {
  const child = fork(GATEWAY, [folder, networkId, String(nodes), String(subclouds)], { execArgv: gatewayFlags() });
  const answers = new Map<number, (answer: Answer) => void>();
  child.on('message', (answer: Answer) => {
    answers.get(answer.id)?.(answer);
    answers.delete(answer.id);
  });
  let questions = 0;
  const askFor = (question: Question): Promise<Answer> => {
    const id = ++questions;
    return new Promise((resolve) => {
      answers.set(id, resolve);
      child.send({ ...question, id });
    });
  };
  return {
    ask: async (question) => (await askFor(question)).ms,
    async members(atLeast, say) {
      const done = askFor({ type: 'members', atLeast });
      const timer = setInterval(() => void askFor({ type: 'count' }).then(({ ms }) => say(ms)), PROGRESS_MS);
      await done;
      clearInterval(timer);
    },
    async stall() {
      const { ms, cpuMs = Number.NaN } = await askFor({ type: 'stall' });
      return { ms, cpuMs };
    },
    [Symbol.dispose]: () => void (child.connected && child.disconnect()),
  };
}

/** `BENCH_GATEWAY_FLAGS`: further options of Node, to look closer (`--cpu-prof`, `--trace-gc`). */
function gatewayFlags(): string[] {
  const more = (process.env['BENCH_GATEWAY_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '');
  return [...NODE_FLAGS.gateway, ...more];
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

function memoryMiB(child: ChildProcess, what: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8');
  return Number(new RegExp(`${what}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 1_024;
}

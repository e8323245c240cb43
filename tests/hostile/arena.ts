/** Starts an arena, asks it for its measures, and notices when it dies. */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export type ArenaMessage = 'measure' | 'stop';

export interface ArenaReady {
  readonly port: number;
  readonly apiKey: string;
  readonly nodes: readonly { readonly id: string; readonly model: string; readonly pem: string }[];
}

export interface Measured {
  readonly heapUsedBytes: number;
  readonly arrayBuffersBytes: number;
  readonly rssBytes: number;
  readonly openFiles: number;
  readonly sockets: number;
  readonly resources: Readonly<Record<string, number>>;
}

export interface Arena<Ready> extends AsyncDisposable {
  readonly ready: Ready;
  /** Undefined while it lives; then how it ended and what it said. */
  readonly death: string | undefined;
  /** What it has in use once garbage is collected. */
  measure(): Promise<Measured>;
  /** Resident now, without asking it for anything; undefined where the system does not tell. */
  residentBytes(): number | undefined;
}

const MAX_KEPT_CHARS = 20_000;

/** `entry`: a file beside this one. */
export async function startArena<Ready>(entry: string, args: readonly string[] = []): Promise<Arena<Ready>> {
  const child: ChildProcess = fork(fileURLToPath(new URL(entry, import.meta.url)), args, {
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let said = '';
  let death: string | undefined;
  child.stderr?.on('data', (part: Buffer) => {
    said = (said + part.toString()).slice(-MAX_KEPT_CHARS);
  });
  const gone = new Promise<never>((_, reject) => {
    child.once('close', (code, signal) => {
      death = `${entry} ended with ${signal ?? `code ${code}`}: ${said}`;
      reject(new Error(death));
    });
  });
  gone.catch(() => {});
  const answer = <Value>(name: string): Promise<Value> =>
    Promise.race([
      gone,
      new Promise<Value>((resolve) => {
        const onMessage = (message: unknown): void => {
          const value = (message as Record<string, Value>)[name];
          if (value === undefined) return;
          child.off('message', onMessage);
          resolve(value);
        };
        child.on('message', onMessage);
      }),
    ]);
  const ready = await answer<Ready>('ready');
  return {
    ready,
    get death() {
      return death;
    },
    measure: () => {
      const measured = answer<Measured>('measured');
      child.send('measure');
      return measured;
    },
    residentBytes: () => residentBytesOf(child.pid),
    async [Symbol.asyncDispose]() {
      if (death !== undefined) return;
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.send('stop');
      const force = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await ended;
      clearTimeout(force);
    },
  };
}

function residentBytesOf(pid: number | undefined): number | undefined {
  try {
    const kibibytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1_024;
  } catch {
    return undefined;
  }
}

/** A network in processes of its own, as an operator runs it, for tests that end those processes without mercy. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));
const AGENT = fileURLToPath(new URL('../../packages/agent/src/main.ts', import.meta.url));

export interface Up extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly ready: { readonly url: string; readonly apiKey: string; readonly adminToken: string };
  /** The pid of the part whose command line contains `what`. */
  pidOf(what: string): number;
  databaseUrl(): string;
}

/** `env`: beside that of the test. */
export async function startUp(
  dataDir: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Up> {
  const child = spawn(process.execPath, [CLI, 'up', '--json', '--no-demo', '--port', '0', '--data', dataDir, ...args], {
    env: { ...cleanEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let faults = '';
  child.stderr.on('data', (part: Buffer) => (faults += part.toString()));
  const line = await firstLine(child).catch(() => Promise.reject(new Error(`up did not start: ${faults}`)));
  const pid = pidIn(child);
  return {
    child,
    ready: JSON.parse(line) as Up['ready'],
    pidOf: (what) => pidOf(pid, what),
    databaseUrl: () => {
      const environment = readFileSync(`/proc/${pidOf(pid, 'control/src/main')}/environ`, 'utf8').split('\0');
      return (
        environment
          .find((entry) => entry.startsWith('SUBCLOUD_DATABASE_URL='))
          ?.slice('SUBCLOUD_DATABASE_URL='.length) ?? ''
      );
    },
    async [Symbol.asyncDispose]() {
      await end(child);
    },
  };
}

/** An agent that comes back whenever it ends, as a service manager would see to. */
export interface ServiceAgent extends AsyncDisposable {
  pid(): number;
}

export async function startServiceAgent(settings: Readonly<Record<string, string>>): Promise<ServiceAgent> {
  let stopped = false;
  let child = start();
  function start(): ChildProcess {
    const started = spawn(process.execPath, [AGENT], {
      env: { ...cleanEnvironment(), ...settings },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    started.once('exit', () => {
      if (!stopped) child = start();
    });
    return started;
  }
  await firstLine(child);
  return {
    pid: () => pidIn(child),
    async [Symbol.asyncDispose]() {
      stopped = true;
      await end(child);
    },
  };
}

/** Throws where the process could not be started: a signal to 0 ends the whole group of who sends it. */
export function pidIn({ pid }: ChildProcess): number {
  if (pid === undefined) throw new Error('the process was not started');
  return pid;
}

function pidOf(parent: number, what: string): number {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const [state, owner] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(owner) === parent && state !== 'Z' && readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(what))
        return Number(entry);
    } catch {
      // It ended while we looked.
    }
  }
  throw new Error(`no child of ${parent} runs ${what}`);
}

export async function firstLine(child: ChildProcess): Promise<string> {
  let text = '';
  const { stdout } = child;
  if (stdout === null) throw new Error('no stdout');
  const line = new Promise<string>((resolve) => {
    stdout.on('data', (part: Buffer) => {
      text += part.toString();
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
    });
  });
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('it ended before it was ready')));
  return Promise.race([line, ended]);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SUBCLOUD_')));
}

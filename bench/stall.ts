/**
 * `npm run bench:stall`: promise 8. Latency through a gateway while control, PostgreSQL and fsync stand still, inside the
 * lease, beside its latency in between. Everything is real: control and PostgreSQL are stopped by a signal, and fsync of
 * the gateway waits in the kernel's stead (a shim that a C compiler makes; without one that part is left out, and said).
 * Last line: one JSON object, milliseconds. `--seconds=8` a state; `--rate=300` requests a second.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort, start, stopAll } from './gateway/processes.ts';
import { OpenLoop, type Quantiles, quantiles } from './gateway/latency.ts';
import { type Network, startNetwork } from './gateway/network.ts';
import { MODEL_OF } from './gateway/work.ts';

const ENGINE = fileURLToPath(new URL('./gateway/engine.ts', import.meta.url));
const WARM_UP_TURNS = 3;
const READY_MS = 30_000;
/** Leases last 60 s from their last renewal: a state must end well before. */
const MAX_SECONDS = 20;
const BACK_MS = 5_000;

/** While the file is there, whatever syncs waits, as on a disk that hangs. */
const SHIM = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static void wait_for_disk(void) {
  const char *file = getenv("BENCH_STALL_FILE");
  while (file && access(file, F_OK) == 0) usleep(20000);
}
int fsync(int fd) { wait_for_disk(); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
int fdatasync(int fd) { wait_for_disk(); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
`;

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '8' }, rate: { type: 'string', default: '300' } },
});
const seconds = Math.min(MAX_SECONDS, Number(values.seconds));
const rate = Number(values.rate);
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface State extends Quantiles {
  readonly requests: number;
  readonly errors: number;
}

const folder = mkdtempSync(join(tmpdir(), 'subcloud-stall-'));
const stallFile = join(folder, 'stall');
let network: Network | undefined;
try {
  say(`${cpus().length} cores, ${cpus()[0]?.model ?? ''}, Node ${process.version}, load ${loadavg()[0]?.toFixed(2)}`);
  const shim = makeShim();
  const port = await freePort();
  const words = [ENGINE, 'delayed', String(port), MODEL_OF.delayed];
  await start({ command: process.execPath, arguments: words, ready: 'first line' });
  network = await startNetwork({
    folder,
    engines: [`http://127.0.0.1:${port}`],
    gatewayArguments: [],
    gatewayEnv: shim === undefined ? {} : { LD_PRELOAD: shim, BENCH_STALL_FILE: stallFile },
  });
  await ready(network);
  const { controlPid, postgresDir } = network;
  const database = (): readonly number[] => processesOf(postgresDir);
  const stalls: Record<string, { begin(): void; end(): void }> = {
    control: signals(() => [controlPid]),
    postgres: signals(database),
    ...(shim === undefined
      ? {}
      : { fsync: { begin: () => writeFileSync(stallFile, ''), end: () => rmSync(stallFile, { force: true }) } }),
  };
  const all = Object.values(stalls);
  const stallAll = { begin: () => all.forEach((each) => each.begin()), end: () => all.forEach((each) => each.end()) };
  const result: Record<string, State | null> = { normal: await measured(network, undefined) };
  for (const [name, stall] of [...Object.entries(stalls), ['all', stallAll] as const]) {
    result[name] = await measured(network, stall);
    await sleep(BACK_MS);
    result[`after ${name}`] = await measured(network, undefined);
  }
  if (shim === undefined) {
    say('fsync was not stalled: there is no C compiler (cc) to make the shim with.');
    result['fsync'] = null;
  }
  await stopAll();
  process.stdout.write(`${JSON.stringify({ rate, seconds, ...result })}\n`);
} finally {
  rmSync(stallFile, { force: true });
  await stopAll();
  await network?.stop();
  rmSync(folder, { recursive: true, force: true });
}

async function measured({ plain, key }: Network, stall: { begin(): void; end(): void } | undefined): Promise<State> {
  const loop = new OpenLoop(plain.url, key);
  for (let turn = 0; turn < WARM_UP_TURNS; turn += 1) await loop.turn(rate, false);
  stall?.begin();
  try {
    for (let turn = 0; turn < seconds; turn += 1) await loop.turn(rate, true);
  } finally {
    stall?.end();
  }
  loop.close();
  const state = { requests: loop.timesMs.length, errors: loop.errors, ...quantiles(loop.timesMs) };
  say(JSON.stringify(state));
  return state;
}

function makeShim(): string | undefined {
  if (spawnSync('cc', ['--version']).status !== 0) return undefined;
  const [source, built] = [join(folder, 'shim.c'), join(folder, 'shim.so')];
  writeFileSync(source, SHIM);
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', built, source, '-ldl']);
  return built;
}

/** A worker of PostgreSQL may have ended since it was listed. */
function tell(pids: readonly number[], signal: 'SIGSTOP' | 'SIGCONT'): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It is gone.
    }
  }
}

function signals(pids: () => readonly number[]): { begin(): void; end(): void } {
  let stopped: readonly number[] = [];
  return {
    begin() {
      stopped = pids();
      tell(stopped, 'SIGSTOP');
    },
    end() {
      tell(stopped, 'SIGCONT');
    },
  };
}

/** Every process of the server in this folder: the postmaster and what it has started. */
function processesOf(dataDir: string): readonly number[] {
  const [first = ''] = readFileSync(join(dataDir, 'cluster', 'postmaster.pid'), 'utf8').split('\n');
  const postmaster = Number(first);
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && parentOf(name) === postmaster);
  return [postmaster, ...children.map(Number)];
}

function parentOf(pid: string): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return 0;
  }
}

async function ready({ plain, key }: Network): Promise<void> {
  const untilMs = performance.now() + READY_MS;
  for (;;) {
    const loop = new OpenLoop(plain.url, key);
    await loop.turn(2, true);
    loop.close();
    if (loop.errors === 0) return;
    if (performance.now() > untilMs) throw new Error('the gateway does not answer');
    await sleep(200);
  }
}

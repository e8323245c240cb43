/**
 * Several workers on one port: how many short answers a second the whole gateway gives, what one costs its workers, and how
 * evenly the kernel spread the connections. On two cores load, engine and node compete with the workers, so that the rate says
 * little by itself: what a core carries is its second divided by the cost.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { check } from './load.ts';
import { cpuUs } from './processes.ts';
import type { Tool } from './tools.ts';
import { bodyOf } from './work.ts';

const CLI = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));
/** Enough for a hash to spread them. */
const CONNECTIONS = 128;
const WARM_UP_S = 4;
const SETTLE_MS = 700;
const LINKED_MS = 30_000;
const run = promisify(execFile);

export interface WorkersResult {
  readonly workers: number;
  readonly perSecond: number;
  /** Microseconds of CPU a request, over all workers. */
  readonly cpuUs: number;
  /** Part of that time that each worker took. */
  readonly shares: readonly number[];
}

export async function measureWorkers(
  workers: number,
  options: {
    readonly wrk: Tool;
    readonly folder: string;
    readonly key: string;
    readonly controlDir: string;
    readonly seconds: number;
  },
): Promise<WorkersResult> {
  const { folder, key, wrk } = options;
  const folders = ['--data-dir', join(folder, `workers-${workers}`), '--control-dir', options.controlDir];
  const child = spawn(
    process.execPath,
    [CLI, 'serve', 'gateway', '--json', '--port', '0', '--workers', String(workers), ...folders],
    { env: { ...process.env, SUBCLOUD_LOG_LEVEL: 'error' }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    const ready = await firstLine(child.stdout);
    const pids = childrenOf(child.pid ?? 0);
    for (const { url } of ready.workers) await linked(url, key);
    const script = join(folder, `workers-${workers}.lua`);
    writeFileSync(
      script,
      `wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer ${key}"
wrk.body = ${JSON.stringify(bodyOf('short'))}
function done(summary)
  local e = summary.errors
  print(string.format('{"requests":%d,"faults":%d}', summary.requests, e.connect + e.read + e.write + e.timeout + e.status))
end
`,
    );
    const load = async (seconds: number): Promise<number> => {
      const words = [
        '-t1',
        `-c${CONNECTIONS}`,
        `-d${seconds}s`,
        '--timeout',
        '20s',
        '-s',
        script,
        `${ready.url}/v1/chat/completions`,
      ];
      const { stdout } = await run(wrk.command, words, { env: { ...process.env, ...wrk.env } });
      const { requests, faults } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Record<string, number>;
      if (requests === undefined || faults !== 0) throw new Error(`${faults} answers of ${requests} were none`);
      return requests;
    };
    await load(WARM_UP_S);
    await sleep(SETTLE_MS);
    const before = pids.map(cpuUs);
    const requests = await load(options.seconds);
    await sleep(SETTLE_MS);
    const spent = pids.map((pid, index) => cpuUs(pid) - (before[index] ?? 0));
    const all = spent.reduce((sum, each) => sum + each, 0);
    return {
      workers,
      perSecond: Math.round(requests / options.seconds),
      cpuUs: Math.round((all / requests) * 10) / 10,
      shares: spent.map((each) => Math.round((each / all) * 100) / 100),
    };
  } finally {
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    await gone;
  }
}

interface Ready {
  readonly url: string;
  readonly workers: readonly { readonly url: string }[];
}

async function firstLine(stdout: NodeJS.ReadableStream): Promise<Ready> {
  for await (const line of createInterface({ input: stdout })) return JSON.parse(line) as Ready;
  throw new Error('the gateway ended before it was ready');
}

/** The node has linked to this worker. */
async function linked(url: string, key: string): Promise<void> {
  const untilMs = performance.now() + LINKED_MS;
  for (;;) {
    const fault = await check('short', { name: 'subcloud', pid: 0, url, headers: {} }, key).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (fault === undefined) return;
    if (performance.now() > untilMs) throw fault;
    await sleep(200);
  }
}

function childrenOf(parent: number): readonly number[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent ? [Number(entry)] : [];
    } catch {
      // It ended while we looked.
      return [];
    }
  });
}

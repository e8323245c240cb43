/**
 * `npm run bench:gateway`: what one request costs this gateway (with one linked node, plain and TLS), a bare
 * pass-through, nginx and Portkey, as CPU time of their processes, side by side in one run; and the latency that this
 * gateway adds. Everything is real: control, PostgreSQL, the agent. Last line: one JSON object, CPU in microseconds.
 *
 * `--only=short,stream,paced,rate,latency` · `--rounds=2` · `--seconds=3` · `--peers=passthrough,nginx,portkey` ·
 * `--profile=FOLDER` (a CPU profile of the plain gateway) · `--workers=1,2` (gateways of so many processes)
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Contender, ownTargets, startEngines, startPeers } from './contenders.ts';
import { AT_RATE_PER_SECOND, measureAtRate } from './at-rate.ts';
import { type Latency, measureLatency } from './latency.ts';
import { type Measured, check, measure } from './load.ts';
import { type Network, startNetwork } from './network.ts';
import { stopAll } from './processes.ts';
import { type Tool, findTool } from './tools.ts';
import { type WorkersResult, measureWorkers } from './workers.ts';
import type { Kind, Work } from './work.ts';

const WORKS = ['short', 'stream', 'paced'] as const;
const FIRST_WARM_UP_S = 3;
const LATENCY_PER_SECOND = 1_000;
const LATENCY_TURNS = 10;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'short,stream,paced,rate,latency' },
    rounds: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '3' },
    profile: { type: 'string' },
    workers: { type: 'string' },
    peers: { type: 'string', default: 'passthrough,nginx,portkey' },
  },
});
const only = values.only.split(',');
const say = (text: string): void => void process.stderr.write(`${text}\n`);

interface Bench {
  readonly folder: string;
  readonly engines: Readonly<Record<Kind, string>>;
  readonly network: Network;
  readonly nginx: Tool;
  readonly wrk: Tool;
}

/** Microseconds of CPU a request; null where a contender could not be had. */
type Costs = Partial<Record<Contender, number>>;

async function compare(work: Work, bench: Bench): Promise<Costs> {
  const { folder, engines, network, wrk } = bench;
  const peers = await startPeers(work, engines[work], { ...bench, only: values.peers.split(','), say });
  const targets = [...ownTargets(network), ...peers];
  const sums = new Map<Contender, Measured[]>();
  for (const target of targets) await check(work, target, network.key);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const target of targets) {
      // The first time code is compiled under load, which takes seconds in all of them.
      const warmUpSeconds = round === 0 ? FIRST_WARM_UP_S : 1;
      const options = { wrk, folder, key: network.key, seconds: Number(values.seconds), warmUpSeconds };
      const measured = await measure(work, target, options);
      sums.set(target.name, [...(sums.get(target.name) ?? []), measured]);
      const perSecond = Math.round(measured.requests / options.seconds);
      say(`${work} ${target.name}: ${(measured.cpuUs / measured.requests).toFixed(1)} µs a request, ${perSecond}/s`);
    }
  }
  return Object.fromEntries([...sums].map(([name, measured]) => [name, costOf(measured)]));
}

function costOf(measured: readonly Measured[]): number {
  const requests = measured.reduce((sum, each) => sum + each.requests, 0);
  return Math.round((measured.reduce((sum, each) => sum + each.cpuUs, 0) / requests) * 10) / 10;
}

async function latency({ network, engines }: Bench): Promise<Latency> {
  return measureLatency({
    gatewayUrl: network.plain.url,
    engineUrl: engines.delayed,
    key: network.key,
    perSecond: LATENCY_PER_SECOND,
    turns: LATENCY_TURNS,
  });
}

function ratios(costs: Costs): string {
  const { subcloud, subcloudTls, passthrough, portkey } = costs;
  if (subcloud === undefined || passthrough === undefined) return '';
  const times = (a: number | undefined, b: number): string => (a === undefined ? '-' : (a / b).toFixed(2));
  return `plain ${times(subcloud, passthrough)} x pass-through, TLS ${times(subcloudTls, passthrough)} x, Portkey ${times(portkey, subcloud)} x ours`;
}

const nginx = findTool('nginx', say);
const wrk = findTool('wrk', say);
if (nginx === undefined || wrk === undefined) {
  say('The benchmark needs nginx (as the engine and as a peer) and wrk.');
  process.exit(1);
}
const folder = mkdtempSync(join(tmpdir(), 'subcloud-bench-'));
let network: Network | undefined;
try {
  say(`${cpus().length} cores, ${cpus()[0]?.model ?? ''}, Node ${process.version}, load ${loadavg()[0]?.toFixed(2)}`);
  const engines = await startEngines(nginx, folder);
  const gatewayArguments: string[] = [];
  if (values.profile !== undefined) {
    mkdirSync(values.profile, { recursive: true });
    gatewayArguments.push('--cpu-prof', `--cpu-prof-dir=${resolve(values.profile)}`);
  }
  network = await startNetwork({ folder, engines: Object.values(engines), gatewayArguments });
  const bench = { folder, engines, network, nginx, wrk };
  await ready(bench);
  const result: Record<string, Costs | Latency | WorkersResult[]> = {};
  for (const work of WORKS) {
    if (!only.includes(work)) continue;
    const costs = await compare(work, bench);
    result[work] = costs;
    say(`${work}: ${ratios(costs)}`);
  }
  if (only.includes('rate')) {
    const peers = await startPeers('short', engines.delayed, { ...bench, only: ['passthrough'], say });
    const costs = await measureAtRate([...ownTargets(network), ...peers], network.key);
    result['rate'] = costs;
    say(`${AT_RATE_PER_SECOND} a second: ${JSON.stringify(costs)}; ${ratios(costs)}`);
  }
  if (only.includes('latency')) {
    result['latency'] = await latency(bench);
    say(`latency: ${JSON.stringify(result['latency'])}`);
  }
  if (values.workers !== undefined) {
    const measured: WorkersResult[] = [];
    for (const workers of values.workers.split(',').map(Number)) {
      const options = {
        wrk,
        folder,
        key: network.key,
        controlDir: network.controlDir,
        seconds: Number(values.seconds),
      };
      measured.push(await measureWorkers(workers, options));
      say(`workers: ${JSON.stringify(measured.at(-1))}`);
    }
    result['workers'] = measured;
  }
  await stopAll();
  process.stdout.write(`${JSON.stringify(result)}\n`);
} finally {
  await stopAll();
  await network?.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** Both gateways route to the node once it is a member and measured: seconds at most. */
async function ready({ network }: Bench): Promise<void> {
  const untilMs = performance.now() + 30_000;
  for (const target of ownTargets(network)) {
    for (;;) {
      const fault = await check('short', target, network.key).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (fault === undefined) break;
      if (performance.now() > untilMs) throw fault;
      await new Promise((done) => setTimeout(done, 200));
    }
  }
}

/**
 * `npm run bench:links`: a gateway in a process of its own with 10,000 agents linked, plain and over TLS: what it takes of
 * memory, and how long after a kill -9 and a new start of the gateway all of them are back. The agents are simulated by the
 * real link code, many a process; control is scripted. Last line: one JSON object.
 *
 * `--nodes=N`; `--processes=N` for the agents (4); `--only=plain|tls`. They begin to dial over some 30 s.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rowKey } from '@subcloud/contract/table';
import { fingerprintOf } from '@subcloud/kit/signing';
import { makeTlsCertificate } from '@subcloud/kit/tls-certificate';
import { type PeerControl, startPeerControl } from '@subcloud/testkit/peer-control';
import {
  SIMULATED_MODEL,
  type SimulatedAgentsOptions,
  simulatedAddress,
  simulatedKey,
  simulatedNodeId,
} from '@subcloud/testkit/simulated-agents';
import { NODE_FLAGS } from '../../packages/cli/src/up/core-parts.ts';

const GATEWAY = fileURLToPath(new URL('../../packages/gateway/src/main.ts', import.meta.url));
const AGENTS = fileURLToPath(new URL('./agents-process.ts', import.meta.url));
/** Three heartbeats of every link. */
const SETTLE_MS = 15_000;
const ALL_LINKED_LIMIT_MS = 420_000;

interface Measured {
  readonly rssMiB: number;
  readonly connectAllS: number;
  readonly reconnectAllS: number;
  readonly rssAfterMiB: number;
}

const nodes = numberOf('--nodes', 10_000);
const processes = numberOf('--processes', 4);
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function numberOf(name: string, usual: number): number {
  const given = process.argv.find((argument) => argument.startsWith(`${name}=`));
  const value = given === undefined ? usual : Number(given.slice(name.length + 1));
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name} is a whole number above zero`);
  return value;
}

async function measure(secure: boolean): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-links-'));
  const agents: ChildProcess[] = [];
  let gateway: StartedGateway | undefined;
  await using control = await startPeerControl(join(folder, 'run'));
  try {
    publishFleet(control);
    gateway = await startGateway(folder, secure, 0);
    const { url, port } = gateway;
    const emptyMiB = gateway.residentMiB();
    const startedMs = performance.now();
    const linked = startAgents(agents, url, control);
    await allLinked(linked, startedMs);
    const connectAllS = (performance.now() - startedMs) / 1_000;
    await sleep(SETTLE_MS);
    const rssMiB = gateway.residentMiB();
    say(`${secure ? 'TLS' : 'plain'}: all linked after ${connectAllS.toFixed(1)} s; ${emptyMiB} -> ${rssMiB} MiB`);

    const killedMs = performance.now();
    await gateway.kill();
    // What is counted must have been seen to fall first.
    while (linked() === nodes) await sleep(20);
    gateway = await startGateway(folder, secure, port);
    await allLinked(linked, killedMs);
    const reconnectAllS = (performance.now() - killedMs) / 1_000;
    await sleep(SETTLE_MS);
    const rssAfterMiB = gateway.residentMiB();
    say(`${secure ? 'TLS' : 'plain'}: all back ${reconnectAllS.toFixed(1)} s after the kill; ${rssAfterMiB} MiB`);
    const round = (value: number): number => Math.round(value * 10) / 10;
    return { rssMiB, connectAllS: round(connectAllS), reconnectAllS: round(reconnectAllS), rssAfterMiB };
  } finally {
    for (const child of agents) child.kill('SIGKILL');
    await gateway?.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Every node is a member of one pool, as the table of a real network of that size would have it. */
function publishFleet(control: PeerControl): void {
  const rows: [string, unknown][] = [
    [
      rowKey.pool('global'),
      {
        id: 'global',
        name: 'global',
        owner: null,
        revision: 1,
        effectiveHash: 'hash',
        isolation: 'shared',
        access: { tokens: false },
        candidates: nodes,
        excluded: {},
      },
    ],
  ];
  for (let index = 0; index < nodes; index++) {
    const id = simulatedNodeId(index);
    const member = { pool: 'global', node: id, models: [SIMULATED_MODEL], validUntil: null };
    const { publicKey } = simulatedKey(index);
    const node = { id, publicKey, operator: 'org:bench', measuredAddress: simulatedAddress(index), concurrency: 8 };
    rows.push([rowKey.node(id), node], [rowKey.member('global', id), member]);
  }
  control.publish(rows);
}

interface StartedGateway {
  readonly url: string;
  readonly port: number;
  residentMiB(): number;
  kill(): Promise<void>;
}

async function startGateway(folder: string, secure: boolean, port: number): Promise<StartedGateway> {
  const dataDir = join(folder, 'gateway');
  const certificate = join(folder, 'tls.pem');
  const key = join(folder, 'tls.key');
  if (secure && port === 0) {
    const made = makeTlsCertificate(['localhost', '127.0.0.1'], Date.now());
    writeFileSync(certificate, made.certificate);
    writeFileSync(key, made.privateKey, { mode: 0o600 });
  }
  const child = spawn(process.execPath, [...NODE_FLAGS.gateway, GATEWAY], {
    env: {
      ...process.env,
      SUBCLOUD_DATA_DIR: dataDir,
      SUBCLOUD_CONTROL_DIR: join(folder, 'run'),
      SUBCLOUD_PORT: String(port),
      SUBCLOUD_LOG_LEVEL: 'error',
      ...(secure ? { SUBCLOUD_TLS_CERTIFICATE: certificate, SUBCLOUD_TLS_KEY: key } : {}),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const ended = exited.then(() => Promise.reject(new Error('the gateway ended')));
  ended.catch(() => undefined);
  const [line] = (await Promise.race([once(child.stdout, 'data'), ended])) as [Buffer];
  const { ready } = JSON.parse(line.toString('utf8')) as { ready: { url: string; port: number } };
  return {
    ...ready,
    residentMiB() {
      const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8');
      return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1_024);
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Returns how many are linked, by the agents' own word. */
function startAgents(into: ChildProcess[], url: string, control: PeerControl): () => number {
  const counts: number[] = [];
  const each = Math.ceil(nodes / processes);
  for (let process = 0; process < processes; process++) {
    const first = process * each;
    const count = Math.max(0, Math.min(each, nodes - first));
    const options: SimulatedAgentsOptions = {
      url,
      networkId: control.chain.networkId,
      fingerprint: fingerprintOf(control.chain.networkKey),
      first,
      count,
      operator: 'org:bench',
      consent: { global: true, autoJoin: 'all', isolation: 'shared', join: [] },
      overMs: 3 * nodes,
    };
    const child = fork(AGENTS, [JSON.stringify(options)]);
    counts[process] = 0;
    child.on('message', ({ linked }: { linked: number }) => void (counts[process] = linked));
    into.push(child);
  }
  return () => counts.reduce((sum, count) => sum + count, 0);
}

async function allLinked(linked: () => number, startedMs: number): Promise<void> {
  let saidMs = performance.now();
  while (linked() < nodes) {
    if (performance.now() - startedMs > ALL_LINKED_LIMIT_MS)
      throw new Error(`only ${linked()} of ${nodes} are linked after ${ALL_LINKED_LIMIT_MS / 1_000} s`);
    if (performance.now() - saidMs > 5_000) {
      saidMs = performance.now();
      say(`${linked()} of ${nodes} linked`);
    }
    await sleep(50);
  }
}

const only = process.argv.find((argument) => argument.startsWith('--only='))?.slice('--only='.length);
const plain = only === 'tls' ? null : await measure(false);
const tls = only === 'plain' ? null : await measure(true);
say(`${cpus().length} cores, ${cpus()[0]?.model ?? ''}, Node ${process.version}`);
process.stdout.write(`${JSON.stringify({ nodes, plain, tls })}\n`);

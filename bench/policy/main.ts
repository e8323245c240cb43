/**
 * `npm run bench:policy`: the whole control plane at size, with real PostgreSQL and a real gateway's table: how long a
 * rebuild from the store takes, how soon a changed fact is out of the table that routes, how soon an edit is in force.
 * Last line: one JSON object. `--large` adds 100,000 nodes and 1,000 Subclouds.
 */
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { migrate } from '@subcloud/control/store/migrate';
import { ensureDatabase } from '@subcloud/kit/postgres/ensure-database';
import { startPostgres } from '@subcloud/kit/postgres/start-postgres';
import { createClient } from '@subcloud/sdk/client';
import { GROUPS, PLACES, declaration, groupOf, manifestOf, nodeName, poolName, writeFleet } from './fleet.ts';
import type { Command } from './gateway-process.ts';

const CONTROL = fileURLToPath(new URL('../../packages/control/src/main.ts', import.meta.url));
const GATEWAY = fileURLToPath(new URL('./gateway-process.ts', import.meta.url));
const DECIDE = fileURLToPath(new URL('../decide.ts', import.meta.url));
const CHANGES_PER_SECOND = 100;
const CHANGES = 600;
const EDITS = 5;

const only = process.argv.find((argument) => argument.startsWith('--only='));
const sizes =
  only !== undefined
    ? [only.slice('--only='.length).split('x').map(Number)]
    : process.argv.includes('--small')
      ? [[1_000, 10]]
      : process.argv.includes('--large')
        ? [
            [1_000, 10],
            [10_000, 100],
            [100_000, 1_000],
          ]
        : [
            [1_000, 10],
            [10_000, 100],
          ];

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;
const round = (value: number): number => Math.round(value * 10) / 10;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function measure(nodes: number, subclouds: number): Promise<object> {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-bench-'));
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres') });
  let gateway: ChildProcess | undefined;
  let control: ChildProcess | undefined;
  try {
    await ensureDatabase(postgres.connectionString('postgres'), 'subcloud');
    const databaseUrl = postgres.connectionString('subcloud');
    await migrate(databaseUrl);
    const dataDir = join(folder, 'control');
    // A first start makes the network; then the fleet is written, and a second start builds everything from the store.
    ({ control } = await startControl(dataDir, databaseUrl));
    await stop(control);
    const { networkId, adminToken } = JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8')) as {
      networkId: string;
      adminToken: string;
    };
    say(`writing ${nodes} nodes`);
    const fleet = await writeFleet(databaseUrl, networkId, nodes, Date.now());
    ({ control } = await startControl(dataDir, databaseUrl));
    const admin = createClient({
      url: 'http://control',
      credential: adminToken,
      socketPath: join(dataDir, 'run', 'api.sock'),
      timeoutMs: 600_000,
    });
    await admin.call('putPlaces', { body: { places: PLACES } });
    for (let index = 0; index < subclouds; index++) {
      await admin.call('applySubcloud', {
        params: { name: poolName(index) },
        body: { manifest: JSON.stringify(manifestOf(index)) },
      });
    }
    gateway = fork(GATEWAY, [join(dataDir, 'run', 'gateways.sock')]);
    const members = nodes + nodes * Math.floor(subclouds / GROUPS) + (subclouds % GROUPS) * Math.floor(nodes / GROUPS);
    say(`waiting for ${members} memberships`);
    await ask(gateway, { type: 'members', atLeast: members });

    say('rebuilding from the store');
    await ask(gateway, { type: 'stall' });
    await stop(control);
    const started = await startControl(dataDir, databaseUrl);
    control = started.control;
    const rebuildMs = started.readyMs;
    await ask(gateway, { type: 'members', atLeast: members });
    // The gateway tells its links again after a restart; steady state begins when control has worked that off.
    for (let round = 0; round < 3; round++) {
      await sleep(2_000);
      const manifest = JSON.stringify(manifestOf(0));
      await admin.call('applySubcloud', { params: { name: poolName(0) }, body: { manifest } });
    }

    say('changing facts');
    const left: number[] = [];
    const pending: Promise<unknown>[] = [];
    const changing = Math.min(400, nodes);
    for (let change = 0; change < CHANGES; change++) {
      const index = change % changing;
      const away = Math.floor(change / changing) % 2 === 0;
      // The node says that it is of a group that no Subcloud admits, or of its own again.
      const document = declaration(fleet, nodeName(index), away ? 'none' : groupOf(index), change + 2, Date.now());
      const answer = ask(gateway, {
        type: 'declare',
        node: nodeName(index),
        document,
        pool: poolName((index % GROUPS) % subclouds),
        present: !away,
      });
      pending.push(away && index % GROUPS < subclouds ? answer.then((ms) => left.push(ms)) : Promise.resolve());
      if (!away || index % GROUPS >= subclouds) answer.catch(() => undefined);
      await sleep(1_000 / CHANGES_PER_SECOND);
    }
    await Promise.all(pending);

    say('editing policies');
    const edits: number[] = [];
    for (let edit = 0; edit < EDITS; edit++) {
      const seen = ask(gateway, { type: 'revision', pool: poolName(edit), revision: 2 });
      await admin.call('applySubcloud', {
        params: { name: poolName(edit) },
        body: { manifest: JSON.stringify(manifestOf(edit, 0.91)) },
      });
      edits.push(await seen);
    }
    const gatewayStallMs = await ask(gateway, { type: 'stall' });
    await admin.close();
    return {
      nodes,
      subclouds,
      rebuildMs: round(rebuildMs),
      factToTableP50Ms: round(percentile(left, 0.5)),
      factToTableP99Ms: round(percentile(left, 0.99)),
      editToTableMs: round(Math.max(...edits)),
      gatewayStallMs: round(gatewayStallMs),
      rssMiB: Math.round(residentMiB(control)),
    };
  } finally {
    gateway?.disconnect();
    if (control !== undefined) await stop(control);
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

type Question = Command extends infer Each ? (Each extends Command ? Omit<Each, 'id'> : never) : never;
let questions = 0;

/** Resolves with the milliseconds that the gateway process saw go by. */
function ask(gateway: ChildProcess, question: Question): Promise<number> {
  const id = ++questions;
  gateway.setMaxListeners(0);
  return new Promise((resolve) => {
    const onMessage = (answer: { id: number; ms: number }): void => {
      if (answer.id !== id) return;
      gateway.off('message', onMessage);
      resolve(answer.ms);
    };
    gateway.on('message', onMessage);
    gateway.send({ ...question, id });
  });
}

async function startControl(dataDir: string, databaseUrl: string): Promise<{ control: ChildProcess; readyMs: number }> {
  const startedMs = performance.now();
  const control = spawn(process.execPath, ['--max-old-space-size=8192', CONTROL], {
    env: {
      ...process.env,
      SUBCLOUD_DATA_DIR: dataDir,
      SUBCLOUD_DATABASE_URL: databaseUrl,
      SUBCLOUD_LOG_LEVEL: process.env['BENCH_LOG'] ?? 'error',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { stdout } = control;
  if (stdout === null) throw new Error('no stdout');
  await Promise.race([
    once(stdout, 'data'),
    once(control, 'exit').then(() => Promise.reject(new Error('control ended'))),
  ]);
  return { control, readyMs: performance.now() - startedMs };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

function residentMiB(child: ChildProcess): number {
  const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1_024;
}

const results: object[] = [];
for (const [nodes = 0, subclouds = 0] of sizes) {
  say(`${nodes} nodes, ${subclouds} Subclouds`);
  const result = await measure(nodes, subclouds);
  say(JSON.stringify(result));
  results.push(result);
}
const decide = execFileSync(process.execPath, [DECIDE], { encoding: 'utf8' }).trim().split('\n').at(-1) ?? '{}';
say(`${cpus().length} cores, ${cpus()[0]?.model ?? ''}, Node ${process.version}`);
process.stdout.write(`${JSON.stringify({ ...(JSON.parse(decide) as object), sizes: results })}\n`);

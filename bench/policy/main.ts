/**
 * `npm run bench:policy`: the whole control plane at size, with real PostgreSQL and a real gateway's table: how long a
 * rebuild from the store takes, how soon a changed fact is out of the table that routes (also right after a restart), how
 * soon an edit is in force. Last line: one JSON object, with what grows from one size to the next.
 *
 * `--small`: 1,000 x 10 alone; `--large`: 100,000 x 1,000 besides the two; `--size=NODESxSUBCLOUDS`: that one alone.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { migrate } from '@subcloud/control/store/migrate';
import { ensureDatabase } from '@subcloud/kit/postgres/ensure-database';
import { startPostgres } from '@subcloud/kit/postgres/start-postgres';
import { createClient } from '@subcloud/sdk/client';
import { type Size, groupOf, manifestOf, membersOf, poolName, sizeOf, writeFleet } from './fleet.ts';
import { growthOf } from './growth.ts';
import { type StartedControl, type StartedGateway, startControl, startGateway } from './processes.ts';

const DECIDE = fileURLToPath(new URL('../decide.ts', import.meta.url));
const CHANGES_PER_SECOND = 100;
const CHANGES = 600;
/** So many nodes change their facts, in turn. */
const CHANGING = 400;
const CHANGES_AFTER_RESTART = 300;
const EDITS = 5;

export interface Measured {
  readonly nodes: number;
  readonly subclouds: number;
  readonly rebuildMs: number;
  readonly factToTableP50Ms: number;
  readonly factToTableP99Ms: number;
  /** The same, with the load beginning in the moment in which the gateway has its table again. */
  readonly restartFactToTableP99Ms: number;
  readonly editToTableMs: number;
  readonly gatewayStallMs: number;
  /** The same in CPU of the loop's thread: what it is when nothing else wants the cores. */
  readonly gatewayStallCpuMs: number;
  readonly rssMiB: number;
  readonly peakRssMiB: number;
}

const startedMs = performance.now();
const say = (text: string): void => {
  const seconds = Math.round((performance.now() - startedMs) / 1_000);
  process.stderr.write(`[${seconds} s] ${text}\n`);
};
const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;
const round = (value: number): number => Math.round(value * 10) / 10;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function sizes(argv: readonly string[]): readonly Size[] {
  const given = argv.find((argument) => argument.startsWith('--size='));
  if (given !== undefined) {
    const [nodes, subclouds] = given.slice('--size='.length).split('x').map(Number);
    if (!Number.isInteger(nodes) || !Number.isInteger(subclouds)) throw new Error('--size is NODESxSUBCLOUDS');
    return [sizeOf(nodes ?? 0, subclouds ?? 0)];
  }
  const all = [sizeOf(1_000, 10), sizeOf(10_000, 100), sizeOf(100_000, 1_000)];
  return all.slice(0, argv.includes('--small') ? 1 : argv.includes('--large') ? 3 : 2);
}

async function measure(size: Size): Promise<Measured> {
  const { nodes, subclouds } = size;
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-bench-'));
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres') });
  let control: StartedControl | undefined;
  try {
    await ensureDatabase(postgres.connectionString('postgres'), 'subcloud');
    const databaseUrl = postgres.connectionString('subcloud');
    await migrate(databaseUrl);
    const dataDir = join(folder, 'control');
    // A first start makes the network; then the fleet is written, and a second start makes its memberships.
    control = await startControl(dataDir, databaseUrl);
    await control.stop();
    const { networkId, adminToken } = JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8')) as {
      networkId: string;
      adminToken: string;
    };
    say(`writing ${nodes} nodes and ${subclouds} Subclouds`);
    await writeFleet(databaseUrl, size, Date.now(), say);
    control = await startControl(dataDir, databaseUrl);
    say(`first start on the fleet: ${round(control.readyMs)} ms`);
    using gateway = startGateway(join(dataDir, 'run'), networkId, nodes, subclouds);
    const members = membersOf(size);
    say(`waiting for ${members} memberships; control has ${Math.round(control.residentMiB())} MiB`);
    await gateway.members(members, (now) => say(`${now} of ${members} memberships in the gateway's table`));

    say('rebuilding from the store');
    await gateway.stall();
    await control.stop();
    control = await startControl(dataDir, databaseUrl);
    const rebuildMs = control.readyMs;
    say(`rebuilt in ${round(rebuildMs)} ms`);
    const rounds = changeFacts(gateway, size);
    await gateway.ask({ type: 'watches', atLeast: 2 });
    say('changing facts while the links are told anew');
    const afterRestart = await rounds.run(CHANGES_AFTER_RESTART);
    await sleep(1_000);
    say('changing facts');
    const left = await rounds.run(CHANGES);

    say('editing policies');
    const admin = createClient({
      url: 'http://control',
      credential: adminToken,
      socketPath: join(dataDir, 'run', 'api.sock'),
      timeoutMs: 600_000,
    });
    const edits: number[] = [];
    for (let edit = 0; edit < EDITS; edit++) {
      const pool = poolName(edit % subclouds);
      const seen = gateway.ask({ type: 'revision', pool, revision: 2 + Math.floor(edit / subclouds) });
      const manifest = JSON.stringify(manifestOf(size, edit % subclouds, 0.91 + edit / 1_000));
      await admin.call('applySubcloud', { params: { name: pool }, body: { manifest } });
      edits.push(await seen);
      say(`edit ${edit + 1} of ${EDITS}: ${round(edits.at(-1) ?? 0)} ms`);
    }
    const stall = await gateway.stall();
    await admin.close();
    return {
      nodes,
      subclouds,
      rebuildMs: round(rebuildMs),
      factToTableP50Ms: round(percentile(left, 0.5)),
      factToTableP99Ms: round(percentile(left, 0.99)),
      restartFactToTableP99Ms: round(percentile(afterRestart, 0.99)),
      editToTableMs: round(Math.max(...edits)),
      gatewayStallMs: round(stall.ms),
      gatewayStallCpuMs: round(stall.cpuMs),
      rssMiB: Math.round(control.residentMiB()),
      peakRssMiB: Math.round(control.peakMiB()),
    };
  } finally {
    await control?.stop();
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Nodes that say, in turn, that they are of a group that no Subcloud admits, and of their own again. */
function changeFacts(gateway: StartedGateway, size: Size): { run(changes: number): Promise<number[]> } {
  const changing = Math.min(CHANGING, size.nodes);
  let change = 0;
  return {
    async run(changes) {
      const left: number[] = [];
      const pending: Promise<unknown>[] = [];
      for (const end = change + changes; change < end; change++) {
        const index = change % changing;
        const away = Math.floor(change / changing) % 2 === 0;
        const pool = poolName(index % size.groups);
        const group = away ? 'none' : groupOf(size, index);
        const answer = gateway.ask({ type: 'declare', index, group, serial: change + 2, pool, present: !away });
        // The way back in waits for the agent and for the cooldown: it is not what is measured.
        if (away) pending.push(answer.then((ms) => left.push(ms)));
        await sleep(1_000 / CHANGES_PER_SECOND);
      }
      await Promise.all(pending);
      return left;
    },
  };
}

const results: Measured[] = [];
for (const size of sizes(process.argv)) {
  say(`${size.nodes} nodes, ${size.subclouds} Subclouds`);
  const result = await measure(size);
  say(JSON.stringify(result));
  results.push(result);
}
const decide = execFileSync(process.execPath, [DECIDE], { encoding: 'utf8' }).trim().split('\n').at(-1) ?? '{}';
say(`${cpus().length} cores, ${cpus()[0]?.model ?? ''}, Node ${process.version}`);
process.stdout.write(
  `${JSON.stringify({ ...(JSON.parse(decide) as object), sizes: results, growth: growthOf(results) })}\n`,
);

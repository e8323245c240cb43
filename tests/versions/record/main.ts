/**
 * Records a network of this version: what its parts say to each other, byte for byte, and what it leaves in its database
 * and folders. `node tests/versions/record/main.ts DIR`; README.md says when, and how an older version is recorded.
 *
 * It is run by older versions too, so it uses only what they have: a route that a version lacks is left out, and what a
 * version says of itself is read from its own constants.
 */
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { agentOptions, runAgent } from '@subcloud/agent/run';
import { LINK_VERSION } from '@subcloud/contract/link';
import { controlRoutes } from '@subcloud/contract/routes/control';
import { TABLE_FORMAT } from '@subcloud/contract/table';
import { WATCH_VERSION } from '@subcloud/contract/watch';
import { controlOptions, runControl } from '@subcloud/control/run';
import { gatewayOptions, runGateway } from '@subcloud/gateway/run';
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { startTestCluster } from '@subcloud/testkit/test-cluster';
import pg from 'pg';
import { type Tape, startTape } from './tape.ts';
import { tellStory } from './story.ts';

const shared = { clock: systemClock, random: systemRandom, log: silentLog };

async function main(outDir: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-record-'));
  const cluster = await startTestCluster();
  try {
    const databaseUrl = cluster.connectionString('subcloud');
    const recorded = await record(folder, databaseUrl);
    mkdirSync(outDir, { recursive: true });
    const write = (name: string, lines: readonly unknown[]): void =>
      writeFileSync(
        join(outDir, name),
        gzipSync(lines.map((line) => `${JSON.stringify(line)}\n`).join(''), { level: 9 }),
      );
    write('rows.jsonl.gz', await rowsOf(databaseUrl));
    write('files.jsonl.gz', filesBelow(folder));
    write('link.jsonl.gz', recorded.link);
    write('watch.jsonl.gz', recorded.watch);
    const schema = await newestMigration(databaseUrl);
    const versions = { link: LINK_VERSION, watch: WATCH_VERSION, table: TABLE_FORMAT, schema };
    writeFileSync(join(outDir, 'meaning.json'), `${JSON.stringify({ versions, ...recorded.meaning }, null, 2)}\n`);
  } finally {
    await cluster[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function record(folder: string, databaseUrl: string) {
  const dataDir = join(folder, 'control');
  const control = await runControl({
    ...shared,
    config: loadConfig(controlOptions, { flags: { dataDir, databaseUrl } }),
  });
  const relay = join(folder, 'relay');
  mkdirSync(relay);
  const watch = await startTape(join(relay, 'gateways.sock'), join(dataDir, 'run', 'gateways.sock'));
  const api = await startTape(join(relay, 'api.sock'), join(dataDir, 'run', 'api.sock'));
  let gatewayPort = 0;
  const link = await startTape(0, () => gatewayPort);
  // Agents keep a link to each address that their document names: that of the tape, so that there is no way past it.
  const publicUrl = `http://127.0.0.1:${link.port}`;
  const gateway = await runGateway({
    ...shared,
    config: loadConfig(gatewayOptions, {
      flags: {
        dataDir: join(folder, 'gateway'),
        controlDir: relay,
        port: 0,
        ...('publicUrl' in gatewayOptions ? { publicUrl } : {}),
      },
    }),
  });
  gatewayPort = gateway.port;
  const gatewayUrl = `http://127.0.0.1:${gatewayPort}`;
  await eventually('the gateway has a table', () => gateway.ready());
  const { adminToken, apiKey } = JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8')) as {
    adminToken: string;
    apiKey: string;
  };
  const engine = await startScriptedEngine({ models: ['test-model'], name: 'engine' });
  const startAgent = async (name: string, joinToken: string, address: string, url: string) =>
    runAgent({
      ...shared,
      config: loadConfig(agentOptions, {
        flags: {
          url,
          joinToken,
          dataDir: join(folder, 'agents', name),
          name,
          engines: [{ url: engine.url }],
          localAddress: address,
          labels: { rack: name },
          consent: {
            autoJoin: 'all',
            isolation: 'isolate',
            join: [
              { name: 'apart', isolation: 'isolate' },
              { name: 'brief', isolation: 'shared' },
            ],
          },
          ...('hardware' in agentOptions ? { hardware: 'none' } : {}),
        },
      }),
    });
  const clients: { close(): Promise<void> }[] = [];
  const meaning = await tellStory({
    routes: new Set(Object.keys(controlRoutes)),
    url: gatewayUrl,
    taped: publicUrl,
    adminToken,
    apiKey,
    startAgent,
    client(credential) {
      const made = createClient({ url: gatewayUrl, credential });
      clients.push(made);
      return made as never;
    },
  });
  const recordedAtMs = Date.now();
  await Promise.all(clients.map((client) => client.close()));
  await Promise.all(meaning.agents.map((agent) => agent.stop()));
  await gateway.stop();
  await control.stop();
  await Promise.all([link, watch, api].map((tape: Tape) => tape.close()));
  await engine.close();
  const { agents: _stopped, ...said } = meaning;
  return { link: link.entries, watch: watch.entries, meaning: { recordedAtMs, ...said } };
}

async function query<Row extends pg.QueryResultRow>(databaseUrl: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function newestMigration(databaseUrl: string): Promise<number> {
  const [row] = await query<{ newest: number }>(databaseUrl, 'select max(number) as newest from migrations');
  return row?.newest ?? 0;
}

/** Every row of every table, as `{ table, row }`. */
async function rowsOf(databaseUrl: string): Promise<{ table: string; row: unknown }[]> {
  const tables = await query<{ name: string }>(
    databaseUrl,
    `select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'migrations' order by 1`,
  );
  const rows: { table: string; row: unknown }[] = [];
  for (const { name } of tables)
    for (const { row } of await query<{ row: unknown }>(databaseUrl, `select to_jsonb(r) as row from "${name}" r`))
      rows.push({ table: name, row });
  return rows;
}

/** What the parts keep on disk. Sockets and locks are of their processes. */
function filesBelow(folder: string): { path: string; base64: string }[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.lock$|\.mjs$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => ({ path: relative(folder, path), base64: readFileSync(path).toString('base64') }));
}

const [outDir] = process.argv.slice(2);
if (outDir === undefined) {
  process.stderr.write('usage: node tests/versions/record/main.ts DIR\n');
  process.exitCode = 2;
} else await main(outDir);

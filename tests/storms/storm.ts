/**
 * A whole fleet that comes back at once: control starts again, then the gateway. Real control on a real database, a real
 * gateway, and agents by the real link code. Nobody may drain or leave, all must be back, and the store may not be written
 * to for what it knows already. The test runs it small, bench/storms.ts at full size.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningControl, controlOptions, runControl } from '@subcloud/control/run';
import { type RunningGateway, gatewayOptions, runGateway } from '@subcloud/gateway/run';
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { createClient } from '@subcloud/sdk/client';
import {
  SIMULATED_MODEL,
  simulatedAddress,
  simulatedKey,
  simulatedNodeId,
  startSimulatedAgents,
} from '@subcloud/testkit/simulated-agents';
import pg from 'pg';

const OPERATOR = 'user:admin';
/** Every third node is held by a Subcloud that isolates, so that a wrong step would be seen in two pools. */
const POOLS = ['global', 'apart', 'beside'] as const;

export interface StormResult {
  readonly agents: number;
  /** From the stop to every link known to control again, ms. */
  readonly control: { readonly backMs: number; readonly rowsWritten: number };
  /** From the stop to every agent linked and every member in the table again, ms. */
  readonly gateway: { readonly backMs: number; readonly rowsWritten: number };
  /** Membership events after the fleet had settled: a storm that changes anything has some. */
  readonly membershipEvents: readonly string[];
  /** Memberships that are not, in every field, as they were before. */
  readonly changedMemberships: number;
  /** Requests while control was away and after everything was back, and those of them that failed. */
  readonly requests: { readonly sent: number; readonly failed: number };
}

export interface StormOptions {
  readonly databaseUrl: string;
  readonly agents: number;
  readonly say: (text: string) => void;
  readonly limitMs: number;
}

export async function runStorm(options: StormOptions): Promise<StormResult> {
  const { databaseUrl, agents: count, say } = options;
  const dataDir = mkdtempSync(join(tmpdir(), 'subcloud-storm-'));
  const db = new pg.Client({ connectionString: databaseUrl });
  await db.connect();
  const services = servicesIn(dataDir, databaseUrl);
  let control = await services.control();
  let gateway: RunningGateway | undefined;
  try {
    await control.stop();
    await enrol(db, count);
    await countWrites(db);
    control = await services.control();
    gateway = await services.gateway();
    const { apiKey, adminToken } = JSON.parse(readFileSync(join(dataDir, 'credentials.json'), 'utf8')) as {
      readonly apiKey: string;
      readonly adminToken: string;
    };
    await using admin = closing(createClient({ url: gateway.url, credential: adminToken }));
    for (const name of POOLS.slice(1))
      await admin.client.call('applySubcloud', {
        params: { name },
        body: { manifest: JSON.stringify(manifestOf(name)) },
      });
    const { networkId, fingerprint } = control;
    await using agents = startSimulatedAgents({
      url: gateway.url,
      networkId,
      fingerprint,
      first: 0,
      count,
      operator: OPERATOR,
      consent: { global: true, autoJoin: 'all', isolation: 'isolate', join: [] },
      overMs: 5 * count,
    });
    const table = tableOf(gateway, apiKey);
    const until = untilWithin(options);
    await until('all agents are linked', () => agents.linked() === count);
    await until('all are members', async () => (await activeMembers(db)) === membersOf(count));
    await until('the gateway may route to all', () => table.serves());
    const before = await memberships(db);
    const lastEvent = await newestEvent(db);

    say('control starts again');
    let sinceMs = performance.now();
    let written = await writes(db);
    await control.stop();
    await table.ask(10);
    control = await services.control();
    await until('control knows every link', async () => (await online(admin.client)) === count);
    const controlBackMs = performance.now() - sinceMs;
    await control.idle();
    const byControl = (await writes(db)) - written;

    say('the gateway starts again');
    sinceMs = performance.now();
    written = await writes(db);
    const { port } = gateway;
    await gateway.stop();
    gateway = await services.gateway(port);
    await until('all agents are linked again', () => agents.linked() === count);
    await until('control knows every link again', async () => (await online(admin.client)) === count);
    const again = tableOf(gateway, apiKey);
    await until('the gateway may route to all again', () => again.serves());
    const gatewayBackMs = performance.now() - sinceMs;
    await control.idle();
    const byGateway = (await writes(db)) - written;
    await again.ask(10);

    const after = await memberships(db);
    return {
      agents: count,
      control: { backMs: Math.round(controlBackMs), rowsWritten: byControl },
      gateway: { backMs: Math.round(gatewayBackMs), rowsWritten: byGateway },
      membershipEvents: await membershipEvents(db, lastEvent),
      changedMemberships: [...before].filter(([key, value]) => after.get(key) !== value).length,
      requests: { sent: table.sent() + again.sent(), failed: table.failed() + again.failed() },
    };
  } finally {
    await gateway?.stop();
    await control.stop();
    await db.end();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

function servicesIn(
  dataDir: string,
  databaseUrl: string,
): { control(): Promise<RunningControl>; gateway(port?: number): Promise<RunningGateway> } {
  const shared = { clock: systemClock, random: systemRandom, log: silentLog };
  return {
    control: () => runControl({ ...shared, config: loadConfig(controlOptions, { flags: { dataDir, databaseUrl } }) }),
    gateway: (port = 0) => {
      const flags = { dataDir: join(dataDir, 'gateway'), controlDir: join(dataDir, 'run'), port };
      return runGateway({ ...shared, config: loadConfig(gatewayOptions, { flags }) });
    },
  };
}

/** As if they had joined long ago: enrolment by the thousand is not what is measured. */
async function enrol(db: pg.Client, count: number): Promise<void> {
  const nodes = Array.from({ length: count }, (_, index) => ({
    id: simulatedNodeId(index),
    key: simulatedKey(index).publicKey,
  }));
  await db.query(
    `insert into nodes (id, name, operator, public_key, enrolled_at, declaration_serial)
     select id, id, $2, key, $3, 0 from jsonb_to_recordset($1::jsonb) as given (id text, key text)`,
    [JSON.stringify(nodes), OPERATOR, Date.now()],
  );
  const places = [...new Set(nodes.map((_, index) => simulatedAddress(index).split('.').slice(0, 3).join('.')))];
  for (const [index, start] of places.entries())
    await db.query('insert into places (cidr, country) values ($1, $2)', [
      `${start}.0/24`,
      index % 2 === 0 ? 'DE' : 'FR',
    ]);
}

/** Counts every row that anybody writes, at once and whatever becomes of the transaction. */
async function countWrites(db: pg.Client): Promise<void> {
  await db.query('create sequence storm_writes');
  await db.query(
    `create function storm_count() returns trigger language plpgsql as
     $$ begin perform nextval('storm_writes'); return null; end $$`,
  );
  // When a node was last seen is written once a minute, storm or not.
  const nodes = 'address, agent_version, declaration_serial, consent, concurrency, declaration';
  const updates = {
    nodes: `update of ${nodes}`,
    claims: 'update',
    memberships: 'update',
    node_documents: 'update',
    events: 'update',
  };
  for (const [table, update] of Object.entries(updates))
    await db.query(
      `create trigger storm after insert or ${update} or delete on ${table} for each row execute function storm_count()`,
    );
}

async function writes(db: pg.Client): Promise<number> {
  const { rows } = await db.query<{ last_value: string; is_called: boolean }>(
    'select last_value, is_called from storm_writes',
  );
  return rows[0]?.is_called === true ? Number(rows[0].last_value) : 0;
}

function manifestOf(name: string): object {
  return {
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name, owner: OPERATOR },
    spec: {
      nodes: { location: { in: [name === 'apart' ? 'FR' : 'EU'] } },
      participation: { mode: 'open', autoJoin: true },
      isolation: name === 'apart' ? 'isolate' : 'shared',
    },
  };
}

/** By the addresses: those in FR are in `apart` and `beside`, the others in `beside` and `global`. */
function membersOf(count: number): number {
  return 2 * count;
}

async function activeMembers(db: pg.Client): Promise<number> {
  const { rows } = await db.query<{ count: string }>(`select count(*) from memberships where state = 'active'`);
  return Number(rows[0]?.count ?? 0);
}

async function memberships(db: pg.Client): Promise<ReadonlyMap<string, string>> {
  const { rows } = await db.query<{ node_id: string; subcloud_id: string; text: string }>(
    'select node_id, subcloud_id, row_to_json(memberships)::text as text from memberships',
  );
  return new Map(rows.map(({ node_id, subcloud_id, text }) => [`${node_id} ${subcloud_id}`, text]));
}

async function newestEvent(db: pg.Client): Promise<number> {
  const { rows } = await db.query<{ newest: string | null }>('select max(id) as newest from events');
  return Number(rows[0]?.newest ?? 0);
}

async function membershipEvents(db: pg.Client, after: number): Promise<readonly string[]> {
  const { rows } = await db.query<{ kind: string; reason: string }>(
    `select distinct kind, reason from events where id > $1 and kind like 'membership.%'`,
    [after],
  );
  return rows.map(({ kind, reason }) => `${kind}: ${reason}`);
}

type Admin = ReturnType<typeof createClient>;

async function online(admin: Admin): Promise<number> {
  let found = 0;
  let cursor: string | undefined;
  try {
    do {
      const page = await admin.call('listNodes', { query: cursor === undefined ? {} : { cursor } });
      found += page.items.filter((node) => node.online).length;
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
  } catch {
    // Control or gateway is not back yet.
    return -1;
  }
  return found;
}

function closing(client: Admin): { readonly client: Admin } & AsyncDisposable {
  return { client, [Symbol.asyncDispose]: () => client.close() };
}

/** What a caller sees of the pools, through the gateway. */
function tableOf(
  gateway: RunningGateway,
  apiKey: string,
): { serves(): Promise<boolean>; ask(times: number): Promise<void>; sent(): number; failed(): number } {
  let sent = 0;
  let failed = 0;
  const ask = async (pool: string): Promise<boolean> => {
    const url = pool === 'global' ? `${gateway.url}/v1` : `${gateway.url}/s/${pool}/v1`;
    const answer = await fetch(`${url}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: SIMULATED_MODEL, messages: [{ role: 'user', content: 'Hello?' }] }),
    });
    await answer.text();
    return answer.status === 200;
  };
  return {
    async serves() {
      const answers = await Promise.all(POOLS.map((pool) => ask(pool).catch(() => false)));
      return answers.every((served) => served);
    },
    async ask(times) {
      for (let round = 0; round < times; round++) {
        for (const pool of POOLS) {
          sent += 1;
          if (!(await ask(pool).catch(() => false))) failed += 1;
        }
      }
    },
    sent: () => sent,
    failed: () => failed,
  };
}

function untilWithin({
  limitMs,
  say,
}: StormOptions): (what: string, done: () => boolean | Promise<boolean>) => Promise<void> {
  return async (what, done) => {
    const startedMs = performance.now();
    while (!(await done())) {
      if (performance.now() - startedMs > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    say(`${what}: ${Math.round(performance.now() - startedMs)} ms`);
  };
}

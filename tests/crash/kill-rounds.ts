/**
 * Rounds of kill -9 of control, gateway, agent and PostgreSQL, one after the other and all at once, while callers and an
 * admin are at work. After each round: what was acknowledged is in the database, every answer whose end a caller saw is
 * counted once, and no token whose revocation was answered was served after that.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import pg from 'pg';
import { type ServiceAgent, type Up, startServiceAgent, startUp } from './processes.ts';

const CALLERS = 4;
const BACK_LIMIT_MS = 60_000;
const VICTIMS = ['gateway/src/main', 'control/src/main', 'agent', 'postgres'] as const;
type Victim = (typeof VICTIMS)[number];

export interface Kill {
  readonly victims: readonly Victim[];
  /** Until answers, changes and revocations all went on, ms. */
  readonly backMs: number;
}

export interface Round {
  readonly round: number;
  readonly kills: readonly Kill[];
  /** So far, since the first round began. */
  readonly answers: number;
  readonly changes: number;
  readonly revocations: number;
  /** Each must be empty: request ids, principals, tokens. */
  readonly notCountedOnce: readonly string[];
  readonly lost: readonly string[];
  readonly servedAfterRevocation: readonly string[];
}

/** Throws where service does not come back, or where the supervisor itself has ended. */
export async function killRounds(rounds: number, tell?: (round: Round) => void): Promise<readonly Round[]> {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-kill-'));
  try {
    await using up = await startUp(join(folder, 'network'));
    await using engine = await startScriptedEngine({ models: ['test-model'] });
    const admin = createClient({ url: up.ready.url, credential: up.ready.adminToken });
    const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
    await using agent = await startServiceAgent({
      SUBCLOUD_URL: up.ready.url,
      SUBCLOUD_JOIN_TOKEN: joinToken,
      SUBCLOUD_DATA_DIR: join(folder, 'agent'),
      SUBCLOUD_ENGINES: engine.url,
      SUBCLOUD_CONSENT: '{autoJoin: all}',
      SUBCLOUD_LOG_LEVEL: 'silent',
    });
    const load = await startLoad(up, admin);
    const done: Round[] = [];
    await load.goesOn('at first', BACK_LIMIT_MS);
    for (let round = 1; round <= rounds; round += 1) {
      const kills = await killEach(round, { up, agent, load });
      const faults = await faultsOf(up, load);
      const counts = { answers: load.answers.size, changes: load.changes.size, revocations: load.revoked };
      done.push({ round, kills, ...counts, ...faults });
      tell?.(done.at(-1) as Round);
    }
    await load.stop();
    done.push({ ...(done.pop() as Round), ...(await faultsOf(up, load)) });
    if (up.child.exitCode !== null) throw new Error(`the supervisor ended with ${up.child.exitCode}`);
    await admin.close();
    return done;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function killEach(
  round: number,
  { up, agent, load }: { up: Up; agent: ServiceAgent; load: Load },
): Promise<Kill[]> {
  const pidOf = (victim: Victim): number => (victim === 'agent' ? agent.pid() : up.pidOf(victim));
  const kills: Kill[] = [];
  for (const victims of [...VICTIMS.map((victim) => [victim]), [...VICTIMS]]) {
    for (const pid of victims.map(pidOf)) process.kill(pid, 'SIGKILL');
    const backMs = await load.goesOn(`round ${round}: after kill -9 of ${victims.join(', ')}`, BACK_LIMIT_MS);
    kills.push({ victims, backMs });
  }
  return kills;
}

interface Load {
  /** Request ids of whole answers. */
  readonly answers: ReadonlySet<string>;
  /** Principals whose making was acknowledged. */
  readonly changes: ReadonlySet<string>;
  readonly revoked: number;
  readonly servedAfterRevocation: readonly string[];
  /** Resolves with the milliseconds until all kinds of work had gone on. */
  goesOn(what: string, limitMs: number): Promise<number>;
  stop(): Promise<void>;
}

async function startLoad({ ready }: Up, admin: Client): Promise<Load> {
  const answers = new Set<string>();
  const changes = new Set<string>();
  const servedAfterRevocation: string[] = [];
  let revoked = 0;
  let running = true;
  await admin.call('applySubcloud', { params: { name: 'kept' }, body: { manifest: JSON.stringify(MANIFEST) } });

  const caller = async (stream: boolean): Promise<void> => {
    while (running) {
      const id = await chat(ready.url, ready.apiKey, stream);
      if (id === undefined) await sleep(20);
      else if (answers.has(id)) throw new Error(`two answers have the request id ${id}`);
      else answers.add(id);
    }
  };
  const writer = async (): Promise<void> => {
    for (let number = 0; running; number += 1) {
      await admin
        .call('createPrincipal', { body: { id: `user:made-${number}` } })
        .then(({ id }) => changes.add(id))
        .catch(() => sleep(50));
    }
  };
  const revoker = async (): Promise<void> => {
    while (running) {
      try {
        const { id, token } = await admin.call('createToken', {
          params: { name: 'kept' },
          body: { principal: 'user:admin' },
        });
        const { outstanding } = await admin.call('revokeToken', { params: { name: 'kept', id } });
        if (outstanding.length > 0) continue;
        revoked += 1;
        // Whatever else is the matter with it: an answer it must not be.
        if ((await chat(ready.url, token, false)) !== undefined) servedAfterRevocation.push(id);
      } catch {
        await sleep(50);
      }
    }
  };
  const work = [...Array.from({ length: CALLERS }, (_, index) => caller(index % 2 === 0)), writer(), revoker()];
  return {
    answers,
    changes,
    servedAfterRevocation,
    get revoked() {
      return revoked;
    },
    async goesOn(what, limitMs) {
      const startedMs = performance.now();
      const from = [answers.size, changes.size, revoked] as const;
      await eventually(
        `${what}: answers, changes and revocations go on`,
        () => answers.size > from[0] + 20 && changes.size > from[1] + 5 && revoked > from[2],
        limitMs,
      );
      return Math.round(performance.now() - startedMs);
    },
    async stop() {
      running = false;
      await Promise.all(work);
    },
  };
}

const MANIFEST = {
  apiVersion: 'subcloud/v1',
  kind: 'Subcloud',
  metadata: { name: 'kept', owner: 'user:admin' },
  spec: { participation: { mode: 'open', autoJoin: true }, access: { tokens: true } },
};

/** The request's id when the answer came whole. */
async function chat(url: string, credential: string, stream: boolean): Promise<string | undefined> {
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'test-model', stream, messages: [{ role: 'user', content: 'hello' }] }),
      signal: AbortSignal.timeout(BACK_LIMIT_MS),
    });
    const text = await response.text();
    if (response.status !== 200 || (stream && !text.endsWith('data: [DONE]\n\n'))) return undefined;
    return response.headers.get('x-request-id') ?? '';
  } catch {
    return undefined;
  }
}

/** Of what was done until now; what comes in meanwhile is of the next look. */
async function faultsOf(up: Up, load: Load) {
  const answers = [...load.answers];
  const changes = [...load.changes];
  const client = new pg.Client({ connectionString: up.databaseUrl() });
  await client.connect();
  try {
    const counts = await eventually(
      'all usage has arrived',
      async () => {
        const { rows } = await client.query<{ request_id: string; count: number }>(
          'select request_id, count(*)::int as count from usage where status = 200 group by request_id',
        );
        const byRequest = new Map(rows.map(({ request_id, count }) => [request_id, count]));
        return answers.every((id) => byRequest.has(id)) ? byRequest : undefined;
      },
      BACK_LIMIT_MS,
    );
    const { rows } = await client.query<{ id: string }>('select id from principals');
    const stored = new Set(rows.map(({ id }) => id));
    return {
      notCountedOnce: answers.filter((id) => counts.get(id) !== 1),
      lost: changes.filter((id) => !stored.has(id)),
      servedAfterRevocation: load.servedAfterRevocation,
    };
  } finally {
    await client.end();
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Promise 6 with real processes: kill -9 of control, gateway, agent and PostgreSQL while callers and an admin are at
 * work. What was acknowledged is there, every answer whose end a caller saw is counted once, and service comes back by
 * itself.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, test } from 'vitest';
import { createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { startServiceAgent, startUp } from './processes.ts';

const CALLERS = 4;
/** More by `npm run crash -- --rounds 10`. */
const ROUNDS = Number(process.env['SUBCLOUD_CRASH_ROUNDS'] ?? 1);
const VICTIMS = ['gateway/src/main', 'control/src/main', 'agent', 'postgres'] as const;

test(
  'kill -9 of each part under load loses nothing that was acknowledged and counts each answer once',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'subcloud-kill-'));
    try {
      await using up = await startUp(join(folder, 'network'));
      const { url, apiKey, adminToken } = up.ready;
      await using engine = await startScriptedEngine({ models: ['test-model'] });
      const admin = createClient({ url, credential: adminToken });
      const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
      await using agent = await startServiceAgent({
        SUBCLOUD_URL: url,
        SUBCLOUD_JOIN_TOKEN: joinToken,
        SUBCLOUD_DATA_DIR: join(folder, 'agent'),
        SUBCLOUD_ENGINES: engine.url,
        SUBCLOUD_LOG_LEVEL: 'silent',
      });

      const seen: string[] = [];
      const acknowledged: string[] = [];
      let running = true;
      const chat = async (stream: boolean): Promise<boolean> => {
        try {
          const response = await fetch(`${url}/v1/chat/completions`, {
            method: 'POST',
            headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
            body: JSON.stringify({ model: 'test-model', stream, messages: [{ role: 'user', content: 'hello' }] }),
          });
          const text = await response.text();
          if (response.status !== 200 || (stream && !text.endsWith('data: [DONE]\n\n'))) return false;
          seen.push(response.headers.get('x-request-id') ?? '');
          return true;
        } catch {
          return false;
        }
      };
      const callers = Array.from({ length: CALLERS }, async (_, index) => {
        while (running) if (!(await chat(index % 2 === 0))) await new Promise((resolve) => setTimeout(resolve, 20));
      });
      const writer = (async () => {
        for (let number = 0; running; number++) {
          await admin
            .call('createPrincipal', { body: { id: `user:made-${number}` } })
            .then(({ id }) => acknowledged.push(id))
            .catch(() => new Promise((resolve) => setTimeout(resolve, 50)));
        }
      })();
      const pidOf = (victim: (typeof VICTIMS)[number]): number => (victim === 'agent' ? agent.pid() : up.pidOf(victim));
      const progress = async (what: string): Promise<void> => {
        const [answers, changes] = [seen.length, acknowledged.length];
        await eventually(
          `${what}: answers and changes go on`,
          () => seen.length > answers + 20 && acknowledged.length > changes + 5,
          60_000,
        );
      };

      await progress('at first');
      for (let round = 1; round <= ROUNDS; round += 1) {
        for (const victim of VICTIMS) {
          process.kill(pidOf(victim), 'SIGKILL');
          await progress(`round ${round}: after kill -9 of ${victim}`);
        }
        const all = VICTIMS.map(pidOf);
        for (const pid of all) process.kill(pid, 'SIGKILL');
        await progress(`round ${round}: after kill -9 of all at once`);
        if (ROUNDS > 1)
          process.stderr.write(`round ${round} of ${ROUNDS}: ${seen.length} answers, ${acknowledged.length} changes\n`);
      }
      running = false;
      await Promise.all([...callers, writer]);
      expect(up.child.exitCode).toBeNull();

      await using database = await connect(up.databaseUrl());
      const counts = await eventually('all usage has arrived', async () => {
        const { rows } = await database.client.query<{ request_id: string; count: number }>(
          'select request_id, count(*)::int as count from usage where status = 200 group by request_id',
        );
        const byRequest = new Map(rows.map(({ request_id, count }) => [request_id, count]));
        return seen.every((id) => byRequest.has(id)) ? byRequest : undefined;
      });
      expect(seen.filter((id) => counts.get(id) !== 1)).toEqual([]);
      expect(new Set(seen).size).toBe(seen.length);
      const { rows: principals } = await database.client.query<{ id: string }>('select id from principals');
      const stored = new Set(principals.map(({ id }) => id));
      expect(acknowledged.filter((id) => !stored.has(id))).toEqual([]);
      await admin.close();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  240_000 * ROUNDS,
);

async function connect(connectionString: string): Promise<AsyncDisposable & { client: pg.Client }> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  return { client, [Symbol.asyncDispose]: () => client.end() };
}

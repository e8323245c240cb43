/**
 * Promise 8: a request waits for nothing but memory. Control and PostgreSQL are stopped (SIGSTOP), so that whatever asked
 * them for anything would wait until the end of the test: within the lease every request is answered all the same, and what
 * was served meanwhile is counted when they go on.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { expect, test } from 'vitest';
import { startServiceAgent, startUp } from './processes.ts';

const REQUESTS = 40;

/** A worker of PostgreSQL may have ended since it was listed; the others must be told all the same. */
function tell(pids: readonly number[], signal: 'SIGSTOP' | 'SIGCONT'): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It is gone.
    }
  }
}

/** The process and all below it. */
function withChildren(pid: number): number[] {
  const children = readdirSync('/proc').filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
    } catch {
      return false;
    }
  });
  return [pid, ...children.flatMap((child) => withChildren(Number(child)))];
}

test('while control and PostgreSQL stand still, requests inside the lease are served, and counted afterwards', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-stalled-'));
  const stopped: number[] = [];
  try {
    await using up = await startUp(join(folder, 'network'));
    const { url, apiKey, adminToken } = up.ready;
    await using engine = await startScriptedEngine({ models: ['test-model'] });
    const admin = createClient({ url, credential: adminToken });
    const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
    await using _agent = await startServiceAgent({
      SUBCLOUD_URL: url,
      SUBCLOUD_JOIN_TOKEN: joinToken,
      SUBCLOUD_DATA_DIR: join(folder, 'agent'),
      SUBCLOUD_ENGINES: engine.url,
      SUBCLOUD_LOG_LEVEL: 'silent',
    });
    const served: string[] = [];
    const chat = async (index: number): Promise<number> => {
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          model: 'test-model',
          stream: index % 2 === 0,
          messages: [{ role: 'user', content: 'hi' }],
        }),
      });
      await response.text();
      if (response.status === 200) served.push(response.headers.get('x-request-id') ?? '');
      return response.status;
    };
    await eventually('the first answer', async () => (await chat(0)) === 200, 60_000);

    const databaseUrl = up.databaseUrl();
    stopped.push(up.pidOf('control/src/main'), ...withChildren(up.pidOf('postgres')));
    tell(stopped, 'SIGSTOP');
    const statuses: number[] = [];
    for (let index = 0; index < REQUESTS; index += 1) statuses.push(await chat(index));
    expect(statuses).toEqual(statuses.map(() => 200));
    tell(stopped.splice(0), 'SIGCONT');

    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    try {
      await eventually(
        'each is counted once',
        async () => {
          const { rows } = await client.query<{ request_id: string }>(
            'select request_id from usage where status = 200',
          );
          const counted = rows.map(({ request_id }) => request_id);
          expect(new Set(counted).size).toBe(counted.length);
          return served.every((id) => counted.includes(id));
        },
        60_000,
      );
    } finally {
      await client.end();
    }
    await admin.close();
  } finally {
    tell(stopped, 'SIGCONT');
    rmSync(folder, { recursive: true, force: true });
  }
}, 180_000);

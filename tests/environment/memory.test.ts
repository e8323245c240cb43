/**
 * A machine that is short of memory: each of the real processes in a group whose memory is limited (cgroups), while more is
 * asked of it than fits. It refuses by name or is ended by the system and comes back; nothing waits for ever, and nothing that
 * was acknowledged or answered is lost.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { type ScriptedEngine, startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ServiceAgent, type Up, startServiceAgent, startUp } from '../crash/processes.ts';

const ROOT = '/sys/fs/cgroup';
const isUnified = existsSync(join(ROOT, 'cgroup.controllers'));
const GROUPS = isUnified ? ROOT : join(ROOT, 'memory');
const LIMIT_FILE = isUnified ? 'memory.max' : 'memory.limit_in_bytes';
/** Of what a process takes from now on; what it has already is not counted. */
const MORE_BYTES = 25_165_824;
const BACK_LIMIT_MS = 90_000;
const missing = groupsMissing();

function groupsMissing(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'limits of memory need root on Linux';
  try {
    using _ = limitedMemory('probe', undefined);
    return undefined;
  } catch {
    return 'groups with a limit of memory cannot be made here';
  }
}

function limitedMemory(name: string, pid: number | undefined): Disposable {
  const group = join(GROUPS, `subcloud-test-${process.pid}-${name}`);
  mkdirSync(group);
  try {
    writeFileSync(join(group, LIMIT_FILE), String(MORE_BYTES));
    if (pid !== undefined) writeFileSync(join(group, 'cgroup.procs'), String(pid));
  } catch (error) {
    rmdirSync(group);
    throw error;
  }
  return {
    [Symbol.dispose]() {
      // Whoever is still in it goes back to where all are.
      if (pid !== undefined && existsSync(`/proc/${pid}`))
        try {
          writeFileSync(join(GROUPS, 'cgroup.procs'), String(pid));
        } catch {
          // It ended meanwhile.
        }
      rmdirSync(group);
    },
  };
}

describe.skipIf(missing !== undefined)(`memory${missing === undefined ? '' : ` (not run: ${missing})`}`, () => {
  let folder: string;
  let up: Up;
  let engine: ScriptedEngine;
  let agent: ServiceAgent;
  let admin: Client;
  const answered: string[] = [];
  const acknowledged: string[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'subcloud-memory-'));
    up = await startUp(join(folder, 'network'));
    engine = await startScriptedEngine({ models: ['test-model'] });
    admin = createClient({ url: up.ready.url, credential: up.ready.adminToken, timeoutMs: BACK_LIMIT_MS });
    const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
    agent = await startServiceAgent({
      SUBCLOUD_URL: up.ready.url,
      SUBCLOUD_JOIN_TOKEN: joinToken,
      SUBCLOUD_DATA_DIR: join(folder, 'agent'),
      SUBCLOUD_ENGINES: engine.url,
      SUBCLOUD_LOG_LEVEL: 'silent',
    });
    await served();
  }, 120_000);
  afterAll(async () => {
    await admin.close();
    await agent[Symbol.asyncDispose]();
    await engine.close();
    await up[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  async function ask(content: string): Promise<string> {
    try {
      const response = await fetch(`${up.ready.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${up.ready.apiKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'test-model', messages: [{ role: 'user', content }] }),
        signal: AbortSignal.timeout(BACK_LIMIT_MS),
      });
      const text = await response.text();
      if (response.status !== 200) return (JSON.parse(text) as { error: { code: string } }).error.code;
      answered.push(response.headers.get('x-request-id') ?? '');
      return 'served';
    } catch (error) {
      if (error instanceof Error && error.name === 'TimeoutError') return 'hangs';
      return 'broken';
    }
  }

  function served(): Promise<true> {
    return eventually(
      'it is served',
      async () => ((await ask('hello')) === 'served' ? true : undefined),
      BACK_LIMIT_MS,
    );
  }

  let number = 0;
  async function change(): Promise<void> {
    const id = `user:made-${(number += 1)}` as const;
    await admin.call('createPrincipal', { body: { id } }).then(
      () => acknowledged.push(id),
      () => undefined,
    );
  }

  const LARGE = 'x'.repeat(8_388_608);
  const NAMED = /^(?:served|broken|(?:client|routing|capacity|upstream|platform)\.\w+)$/;
  const pidOf = {
    control: () => up.pidOf('control/src/main'),
    gateway: () => up.pidOf('gateway/src/main'),
    agent: () => agent.pid(),
  };
  const manifest = (index: number): string =>
    JSON.stringify({
      apiVersion: 'subcloud/v1',
      kind: 'Subcloud',
      metadata: { name: `large-${index}`, owner: 'user:admin' },
      spec: { description: 'y'.repeat(200_000) },
    });
  const tooMuch = {
    control: () =>
      Array.from({ length: 60 }, async (_, index) => {
        await admin
          .call('applySubcloud', { params: { name: `large-${index}` }, body: { manifest: manifest(index) } })
          .catch(() => undefined);
        await change();
        return 'served';
      }),
    gateway: () => Array.from({ length: 8 }, () => ask(LARGE)),
    agent: () => Array.from({ length: 8 }, () => ask(LARGE)),
  };

  test.each(['gateway', 'agent', 'control'] as const)(
    '%s refuses by name what does not fit, or ends and is back by itself',
    async (role) => {
      const pid = pidOf[role]();
      {
        using _limit = limitedMemory(role, pid);
        const codes = await Promise.all(tooMuch[role]());
        for (const code of codes) expect(code).toMatch(NAMED);
        await change();
        await served();
      }
      await served();
      expect(up.child.exitCode).toBeNull();
    },
    240_000,
  );

  test('nothing that was acknowledged is lost, and each answer is counted once', async () => {
    const client = new pg.Client({ connectionString: up.databaseUrl() });
    await client.connect();
    const { rows } = await client.query<{ id: string }>('select id from principals');
    const stored = new Set(rows.map(({ id }) => id));
    expect(acknowledged.filter((id) => !stored.has(id))).toEqual([]);
    const counts = await eventually('all usage has arrived', async () => {
      const found = await client.query<{ request_id: string; count: number }>(
        'select request_id, count(*)::int as count from usage where status = 200 group by request_id',
      );
      const byRequest = new Map(found.rows.map(({ request_id, count }) => [request_id, count]));
      return answered.every((id) => byRequest.has(id)) ? byRequest : undefined;
    });
    expect(answered.filter((id) => counts.get(id) !== 1)).toEqual([]);
    await client.end();
  }, 60_000);
});

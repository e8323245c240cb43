/**
 * Somebody sets the time of a machine, or it was never right: the wall clock of control, the gateway or an agent jumps by an
 * hour, ahead and back, in the real processes. Leases, heartbeats and withdrawals go on; what must expire expires.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { type ScriptedEngine, startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type ServiceAgent, type Up, startServiceAgent, startUp } from '../crash/processes.ts';

const PRELOAD = fileURLToPath(new URL('./movable-wall-clock.ts', import.meta.url));
const HOUR_MS = 3_600_000;
/** Many looks of a process at its clock, and heartbeats: long enough for what a jump breaks to show. */
const WATCHED_MS = 1_200;
const BACK_LIMIT_MS = 90_000;
type Role = 'control' | 'gateway' | 'agent';

let folder: string;
let up: Up;
let engine: ScriptedEngine;
let agent: ServiceAgent;
let admin: Client;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'subcloud-clock-'));
  const moved = {
    NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import=${PRELOAD}`,
    WALL_CLOCK_DIR: folder,
  };
  up = await startUp(join(folder, 'network'), [], moved);
  engine = await startScriptedEngine({ models: ['test-model'] });
  admin = createClient({ url: up.ready.url, credential: up.ready.adminToken });
  const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
  agent = await startServiceAgent({
    ...moved,
    SUBCLOUD_URL: up.ready.url,
    SUBCLOUD_JOIN_TOKEN: joinToken,
    SUBCLOUD_DATA_DIR: join(folder, 'agent-data'),
    SUBCLOUD_ENGINES: engine.url,
    SUBCLOUD_CONSENT: '{autoJoin: all}',
    SUBCLOUD_LOG_LEVEL: 'silent',
  });
  await admin.call('applySubcloud', { params: { name: 'kept' }, body: { manifest: JSON.stringify(MANIFEST) } });
  await served();
}, 120_000);
afterAll(async () => {
  await admin.close();
  await agent[Symbol.asyncDispose]();
  await engine.close();
  await up[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);
afterEach(async () => {
  for (const role of ['control', 'gateway', 'agent'] as const) move(role, 0);
  await served();
}, BACK_LIMIT_MS);

const MANIFEST = {
  apiVersion: 'subcloud/v1',
  kind: 'Subcloud',
  metadata: { name: 'kept', owner: 'user:admin' },
  spec: { participation: { mode: 'open', autoJoin: true }, access: { tokens: true } },
};

function move(role: Role, ms: number): void {
  const file = join(folder, role);
  writeFileSync(`${file}.new`, String(ms));
  renameSync(`${file}.new`, file);
}

async function ask(credential = up.ready.apiKey): Promise<string> {
  const response = await fetch(`${up.ready.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }),
  });
  const text = await response.text();
  return response.status === 200 ? 'served' : ((JSON.parse(text) as { error: { code: string } }).error.code ?? '');
}

function served(credential?: string): Promise<true> {
  return eventually(
    'it is served',
    async () => ((await ask(credential)) === 'served' ? true : undefined),
    BACK_LIMIT_MS,
  );
}

/** What callers got meanwhile, each code once. */
async function watched(): Promise<string[]> {
  const codes = new Set<string>();
  for (const endMs = performance.now() + WATCHED_MS; performance.now() < endMs; ) codes.add(await ask());
  return [...codes].sort();
}

async function withdrawalHolds(): Promise<void> {
  // Control proves by both clocks that it leads, too, and refuses changes until it has proved it anew.
  const { id, token } = await eventually('control leads', () =>
    admin.call('createToken', { params: { name: 'kept' }, body: {} }),
  );
  await served(token);
  const { outstanding } = await admin.call('revokeToken', { params: { name: 'kept', id } });
  expect(outstanding).toEqual([]);
  expect(await ask(token)).toBe('client.unauthenticated');
}

const JUMPS = (['gateway', 'agent', 'control'] as const).flatMap((role) =>
  [HOUR_MS, -HOUR_MS].map((ms) => ({ role, ms, way: ms > 0 ? 'ahead' : 'back' })),
);

test.each(JUMPS)(
  'an hour $way at $role: service goes on, and a withdrawal holds',
  async ({ role, ms }) => {
    // A gateway's lease also ends by its wall clock, which counts sleep: until control has answered once.
    const expected = role === 'gateway' ? ['platform.table_stale', 'served'] : ['served'];
    for (const offsetMs of [ms, 0]) {
      move(role, offsetMs);
      for (const code of await watched()) expect(expected).toContain(code);
      await served();
      await withdrawalHolds();
    }
    expect(up.child.exitCode).toBeNull();
  },
  240_000,
);

test("a token ends by control's wall clock, also when that jumps", async () => {
  const { token } = await admin.call('createToken', { params: { name: 'kept' }, body: { expiresInS: 1_800 } });
  await served(token);
  move('control', HOUR_MS);
  await eventually(
    'the token has ended',
    async () => (await ask(token)) === 'client.unauthenticated' || undefined,
    BACK_LIMIT_MS,
  );
}, 240_000);

test('a node whose clock is minutes off is served, and its operator reads by how much', async () => {
  const warnings = async (): Promise<readonly string[]> =>
    (await admin.call('listNodes', { query: {} })).items.flatMap((node) => node.warnings);
  for (const { ms, words } of [
    { ms: 300_000, words: /its clock was (?:29\d|30\d) s ahead of the network's/ },
    { ms: 0, words: undefined },
  ]) {
    move('agent', ms);
    // It declares itself when it links.
    process.kill(agent.pid(), 'SIGKILL');
    await eventually(
      'the warning is as the clock',
      async () => {
        const said = await warnings();
        return words === undefined ? said.length === 0 : said.some((warning) => words.test(warning));
      },
      BACK_LIMIT_MS,
    );
    await served();
  }
}, 240_000);

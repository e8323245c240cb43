/**
 * A laptop that is closed, a virtual machine that is paused: each process is stopped in the middle of its work (SIGSTOP) and
 * goes on later. What the others do meanwhile, and that it is whole again afterwards.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient, type Client } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { type ScriptedEngine, startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { type ServiceAgent, type Up, pidIn, startServiceAgent, startUp } from '../crash/processes.ts';

let folder: string;
let up: Up;
let engine: ScriptedEngine;
let agent: ServiceAgent;
let admin: Client;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'subcloud-suspended-'));
  up = await startUp(join(folder, 'network'));
  engine = await startScriptedEngine({ models: ['test-model'] });
  admin = createClient({ url: up.ready.url, credential: up.ready.adminToken });
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

async function ask(limitMs = 60_000): Promise<string> {
  const response = await fetch(`${up.ready.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${up.ready.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }),
    signal: AbortSignal.timeout(limitMs),
  });
  const text = await response.text();
  return response.status === 200 ? 'served' : ((JSON.parse(text) as { error: { code: string } }).error.code ?? '');
}

function served(): Promise<true> {
  return eventually('it is served', async () => ((await ask()) === 'served' ? true : undefined), 90_000);
}

/** Stops a process for as long as `act` takes. */
async function suspended(pid: number, act: () => Promise<void>): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  try {
    await act();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

test('control that is suspended is not noticed by callers inside the lease, and changes are made when it goes on', async () => {
  let change: Promise<unknown> | undefined;
  await suspended(up.pidOf('control/src/main'), async () => {
    change = admin.call('createPrincipal', { body: { id: 'user:waits' } });
    for (let call = 0; call < 10; call++) expect(await ask()).toBe('served');
  });
  expect(await change).toMatchObject({ id: 'user:waits' });
  expect(await ask()).toBe('served');
}, 120_000);

test('a node that is suspended is out of service when its heartbeats stop, and back by itself when it goes on', async () => {
  await suspended(agent.pid(), async () => {
    await eventually(
      'the gateway gives the node up',
      async () => {
        const code = await ask(40_000).catch(() => 'waits');
        return code === 'routing.no_eligible_node' ? code : undefined;
      },
      90_000,
    );
  });
  await served();
}, 240_000);

test('a gateway that is suspended answers what waited for it, and nothing is counted twice', async () => {
  let waiting: Promise<string>[] = [];
  await suspended(up.pidOf('gateway/src/main'), async () => {
    waiting = Array.from({ length: 5 }, () => ask());
    await new Promise((resolve) => setTimeout(resolve, 3_000));
  });
  expect(await Promise.all(waiting)).toEqual(Array.from({ length: 5 }, () => 'served'));
  await served();
}, 120_000);

test('the whole machine that sleeps for longer than heartbeats last goes on by itself', async () => {
  const pids = [up.pidOf('control/src/main'), up.pidOf('gateway/src/main'), pidIn(up.child), agent.pid()];
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 17_000));
  for (const pid of pids) process.kill(pid, 'SIGCONT');
  await served();
  expect(up.child.exitCode).toBeNull();
}, 240_000);

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createClient } from '@subcloud/sdk/client';
import { routeServer } from '@subcloud/testkit/route-server';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DEMO_NODE_NAME, type DemoDecision, decideDemo } from './demo.ts';
import { loadUpConfig } from './up-options.ts';

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(path.join(tmpdir(), 'subcloud-demo-'));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

const at = '2026-01-01T00:00:00Z';
const node = (id: string, name: string) => ({
  id,
  name,
  operator: 'user:admin' as const,
  online: false,
  enrolledAt: at,
  lastSeenAt: null,
  address: null,
  agentVersion: null,
  models: [],
  labels: {},
  location: [],
  pools: [],
  warnings: [],
});

async function decide(nodes: ReturnType<typeof node>[], flags = {}): Promise<DemoDecision> {
  await using control = await routeServer({ listNodes: () => ({ items: nodes, next: null }) });
  const client = createClient({ url: control.url });
  try {
    return await decideDemo(client, { config: loadUpConfig(flags, {}), dataDir });
  } finally {
    await client.close();
  }
}

function rememberOwn(nodeId: string): void {
  mkdirSync(path.join(dataDir, 'demo'));
  writeFileSync(path.join(dataDir, 'demo', 'node.json'), JSON.stringify({ nodeId }));
}

test('an empty network has the demo, also where a start was killed before it knew its own node', async () => {
  expect(await decide([])).toEqual({ run: true });
  expect(await decide([node('nod_1', DEMO_NODE_NAME)])).toEqual({ run: true });
});

test("the demo's own node from an earlier start is no other node", async () => {
  rememberOwn('nod_1');
  expect(await decide([node('nod_1', 'renamed')])).toEqual({ run: true });
});

test('another node, online or not, keeps the demo away', async () => {
  rememberOwn('nod_1');
  expect(await decide([node('nod_1', DEMO_NODE_NAME), node('nod_2', 'gpu-1')])).toMatchObject({ run: false });
});

test('a demo node that was removed does not come back by itself', async () => {
  rememberOwn('nod_1');
  expect(await decide([])).toEqual({ run: false, why: expect.stringContaining(path.join(dataDir, 'demo')) });
});

test('--no-demo is enough', async () => {
  expect(await decide([], { noDemo: true })).toMatchObject({ run: false });
});

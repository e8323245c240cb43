import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { routeServer } from '@subcloud/testkit/route-server';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Plan } from './plan-text.ts';
import { type Ran, runCaptured } from './testing/run-captured.ts';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(path.join(tmpdir(), 'subcloud-plan-'));
});
afterAll(() => {
  rmSync(scratch, { recursive: true });
});

function run(argv: readonly string[]): Promise<Ran> {
  return runCaptured(argv, { env: { SUBCLOUD_DATA: path.join(scratch, 'nothing') } });
}

function file(name: string, text: string): string {
  const where = path.join(scratch, name);
  writeFileSync(where, text);
  return where;
}

const at = '2026-01-01T00:00:00Z';
const none = { members: 2, concurrency: 8, undeclared: 0 };
const nothing: Plan = {
  subcloud: 'eu',
  change: 'none',
  revision: 1,
  at,
  moves: [],
  counts: { join: 0, leave: 0, suspend: 0, other: 0, unchanged: 2, activeLost: 0 },
  capacity: { before: none, after: none },
  models: [],
  elsewhere: [],
  hidden: { gain: 0, lose: 0 },
  failingTests: [],
};
const moving: Plan = {
  ...nothing,
  change: 'update',
  moves: [
    {
      kind: 'suspend',
      node: 'nod_a',
      nodeName: 'gpu-1',
      subcloud: 'eu',
      from: 'active',
      to: 'suspended',
      why: 'nodes.location',
    },
  ],
  counts: { ...nothing.counts, suspend: 1, activeLost: 1 },
  elsewhere: [{ subcloud: 'global', gain: 1, lose: 0, models: [] }],
  hidden: { gain: 0, lose: 3 },
};
const manifest = (places: string): string =>
  `apiVersion: subcloud/v1\nkind: Subcloud\nmetadata: { name: eu, owner: "org:acme" }\nspec: { nodes: { location: { in: ${places} } } }\n`;

test.each([
  ['nothing would change', nothing, 0],
  ['something would change', moving, 2],
  ['only the manifest would change', { ...nothing, change: 'update' as const }, 2],
  ['a test does not hold', { ...moving, failingTests: [{ name: 'stays out', message: 'it does not' }] }, 1],
])('plan, where %s, ends with the exit code that says so', async (_what, plan, exitCode) => {
  await using control = await routeServer({ planSubcloud: () => plan });
  const given = ['plan', '-f', file('eu.yaml', manifest('[EU]')), '--url', control.url];
  expect((await run(given)).exitCode).toBe(exitCode);
  const json = await run([...given, '--json']);
  expect(json.exitCode).toBe(exitCode);
  expect(JSON.parse(json.stdout)).toEqual({ plans: [plan] });
});

test('plan shows who moves from where to where and why, and what is lost elsewhere', async () => {
  await using control = await routeServer({ planSubcloud: () => moving });
  const { stdout } = await run(['plan', '-f', file('eu.yaml', manifest('[EU]')), '--url', control.url]);
  expect(stdout).toMatch(/gpu-1\s+eu\s+active\s+suspended\s+nodes\.location/);
  expect(stdout).toMatch(/elsewhere:\s+global gains 1; pools that you may not see: gain 0, lose 3/);
});

test('a plan with a fault is an error, whatever it would change', async () => {
  await using control = await routeServer({ planSubcloud: () => moving });
  const { exitCode, stderr } = await run(['plan', '-f', file('eu.yaml', manifest('[Atlantis]')), '--url', control.url]);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('eu.yaml:4 spec.nodes.location.in[0]');
  expect((await run(['plan', '--url', control.url])).exitCode).toBe(1);
});

test('a domain that the network has defined is a place for the parser here too', async () => {
  const home = { id: 'HOME', name: 'HOME', owner: null, builtIn: false, version: '2026-01-01.1', title: 'home' };
  const domain = { ...home, members: ['DE'], unclear: [], createdAt: at, createdBy: 'admin', usedBy: [] };
  await using control = await routeServer({
    planSubcloud: () => nothing,
    listDomains: () => ({ items: [domain], next: null }),
  });
  const { exitCode } = await run(['plan', '-f', file('home.yaml', manifest('[HOME]')), '--url', control.url]);
  expect(exitCode).toBe(0);
});

test('--max-leave takes a percentage and nothing else', async () => {
  const bodies: unknown[] = [];
  await using control = await routeServer({
    applySubcloud: ({ body }) => {
      bodies.push(body.maxLeavePercent);
      throw new Error('enough');
    },
  });
  const given = ['apply', '-f', file('eu.yaml', manifest('[EU]')), '--url', control.url, '--max-leave'];
  for (const wrong of ['20', '0.2', '120%', '-1%', 'x%'])
    expect((await run([...given, wrong])).exitCode, wrong).toBe(1);
  expect(bodies).toEqual([]);
  await run([...given, '20%']);
  expect(bodies).toEqual([20]);
});

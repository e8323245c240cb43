import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AppError, routeServer } from '@subcloud/testkit/route-server';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ran, runCaptured } from './testing/run-captured.ts';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(path.join(tmpdir(), 'subcloud-cli-'));
});
afterAll(() => {
  rmSync(scratch, { recursive: true });
});

/** Runs a command line inside the test, and what it printed. */
function run(
  argv: readonly string[],
  { env, stdin }: { env?: Record<string, string>; stdin?: string } = {},
): Promise<Ran> {
  return runCaptured(argv, { env: { SUBCLOUD_DATA: path.join(scratch, 'nothing'), ...env }, stdin });
}

function file(name: string, text: string): string {
  const where = path.join(scratch, name);
  writeFileSync(where, text);
  return where;
}

const at = '2026-01-01T00:00:00Z';
const withdrawal = { complete: true, tableVersion: 4, outstanding: [] };
const node = {
  id: 'nod_a1',
  name: 'gpu-1',
  operator: 'org:acme' as const,
  online: true,
  enrolledAt: at,
  lastSeenAt: at,
  address: '192.0.2.1',
  agentVersion: '0.1.0',
  models: ['tiny'],
  labels: {},
  location: [{ country: 'DE' }],
  pools: [
    { pool: 'global', state: 'active', reason: 'joined' },
    { pool: 'eu-only', state: 'suspended', reason: 'nodes.location' },
  ],
  warnings: [],
};
const summary = {
  id: 'sub_1',
  name: 'eu-only',
  owner: 'org:acme' as const,
  displayName: null,
  revision: 2,
  effectiveHash: 'abc',
  participation: 'open',
  isolation: 'shared',
  createdAt: at,
  updatedAt: at,
  members: {},
  models: {},
};
const manifest = (name: string): string =>
  `apiVersion: subcloud/v1\nkind: Subcloud\nmetadata: { name: ${name}, owner: "org:acme" }\nspec: {}\n`;

test('a list is a table for people, and with --json exactly one JSON document on stdout', async () => {
  await using control = await routeServer({ listNodes: () => ({ items: [node], next: null }) });
  const forPeople = await run(['node', 'list', '--url', control.url, '--token', 'secret']);
  expect(forPeople).toEqual({
    exitCode: 0,
    stdout: [
      'ID      NAME   OPERATOR  ONLINE  LOCATION  MODELS  POOLS                        WARNINGS',
      'nod_a1  gpu-1  org:acme  yes     DE        tiny    global, eu-only (suspended)  -',
      '',
    ].join('\n'),
    stderr: '',
  });
  const asJson = await run(['node', 'list', '--json'], { env: { SUBCLOUD_URL: control.url, SUBCLOUD_TOKEN: 'other' } });
  expect(asJson.exitCode).toBe(0);
  expect(JSON.parse(asJson.stdout)).toEqual([node]);
  expect(asJson.stdout.trimEnd().split('\n')).toHaveLength(1);
  expect(control.calls.map(({ credential }) => credential)).toEqual(['secret', 'other']);
});

test('control characters in what others named do not reach the terminal', async () => {
  const items = [{ ...node, name: '\u001b]0;owned\u0007gpu\nnod_fake' }];
  await using control = await routeServer({ listNodes: () => ({ items, next: null }) });
  const { stdout } = await run(['node', 'list', '--url', control.url]);
  expect(stdout).not.toContain('\u001b');
  expect(stdout).not.toContain('\u0007');
  expect(stdout.trimEnd().split('\n')).toHaveLength(2);
});

test('a refusal says what happened, whose turn it is and what to do, on stderr, and the exit code is not 0', async () => {
  await using control = await routeServer({});
  const told = await run(['subcloud', 'get', 'nowhere', '--url', control.url]);
  expect(told).toMatchObject({ exitCode: 1, stdout: '' });
  expect(told.stderr).toMatch(
    /^error: .+\n {2}fault: this command .+\(client\.not_found\)\n {2}next: {2}.+\n {2}request: req_1\n$/,
  );
  const asJson = await run(['subcloud', 'get', 'nowhere', '--url', control.url, '--json']);
  expect(asJson).toMatchObject({ exitCode: 1, stdout: '' });
  expect(JSON.parse(asJson.stderr)).toMatchObject({ error: { code: 'client.not_found' } });
});

test('nobody at the address, an unknown command and a missing option are failures with a next step', async () => {
  const nobody = await run(['node', 'list', '--url', 'http://127.0.0.1:1']);
  expect(nobody).toMatchObject({ exitCode: 1, stdout: '', stderr: expect.stringContaining('subcloud up') });
  const unnamed = await run(['node', 'list']);
  expect(unnamed).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('--url') });
  const mistyped = await run(['nod', 'list']);
  expect(mistyped).toMatchObject({ exitCode: 1, stdout: '', stderr: expect.stringContaining('Did you mean node?') });
  const lacking = await run(['apply']);
  expect(lacking).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("'-f, --file <file...>'") });
});

test('help names every command and is no failure', async () => {
  const { exitCode, stdout } = await run(['--help']);
  expect(exitCode).toBe(0);
  for (const noun of [
    'up',
    'agent',
    'apply',
    'explain',
    'chat',
    'usage',
    'serve',
    'subcloud',
    'node',
    'member',
    'token',
  ]) {
    expect(stdout).toMatch(new RegExp(`^ {2}${noun}\\b`, 'm'));
  }
});

test('the network that runs from the data folder is found, and its credentials go to no other address', async () => {
  await using control = await routeServer({
    whoami: () => ({ principal: null, admin: true, networkRole: null, credential: null, groups: [] }),
    listNodes: () => ({ items: [], next: null }),
  });
  await using other = await routeServer({ listNodes: () => ({ items: [], next: null }) });
  const data = path.join(scratch, 'local');
  mkdirSync(path.join(data, 'run'), { recursive: true });
  writeFileSync(
    path.join(data, 'credentials.json'),
    JSON.stringify({ adminToken: 'admin', apiKey: 'key', principal: 'user:me' }),
  );
  writeFileSync(path.join(data, 'run', 'state.json'), JSON.stringify({ pid: 1, url: control.url, tlsKeySha256: null }));
  expect(await run(['node', 'list', '--data', data])).toMatchObject({ exitCode: 0, stdout: 'none\n' });
  expect(await run(['node', 'list', '--data', data, '--url', other.url])).toMatchObject({ exitCode: 0 });
  expect(control.calls[0]?.credential).toBe('admin');
  expect(other.calls[0]?.credential).toBeUndefined();
});

test('apply sends every document of every file, in order', async () => {
  await using control = await routeServer({
    applySubcloud: ({ params }) => ({ change: 'created', subcloud: { ...summary, name: params.name }, withdrawal }),
    applyNetwork: () => ({ change: 'unchanged', subcloud: { ...summary, name: 'global' }, withdrawal }),
  });
  const two = file('two.yaml', `# both\n---\n${manifest('a')}---\n${manifest('b')}`);
  const stdin = '{"apiVersion":"subcloud/v1","kind":"Network"}';
  const { exitCode, stdout } = await run(['apply', '-f', two, '-', '--url', control.url], { stdin });
  expect(exitCode).toBe(0);
  expect(stdout).toBe(
    'subcloud a created (revision 2); in force on every gateway.\nsubcloud b created (revision 2); in force on every gateway.\nnetwork unchanged (revision 2)\n',
  );
  expect(control.calls.map(({ route, input }) => [route, (input as { params?: unknown }).params])).toEqual([
    ['applySubcloud', { name: 'a' }],
    ['applySubcloud', { name: 'b' }],
    ['applyNetwork', undefined],
  ]);
});

test('apply tells tests that do not hold as a table', async () => {
  const failed = {
    name: 'a Hungarian node stays out',
    pass: false,
    message: 'expected not eligible, got eligible',
    expected: { eligible: false, failing: ['nodes.location'], models: null },
    got: { eligible: true, failing: [], models: [] },
    missing: ['nodes.location'],
    clauses: [],
  };
  await using control = await routeServer({
    applySubcloud: () => {
      throw new AppError('config.failing_tests', { message: 'A test does not hold.', details: { tests: [failed] } });
    },
  });
  const one = file('one.yaml', manifest('a'));
  const { exitCode, stderr } = await run(['apply', '-f', one, '--url', control.url]);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('A test does not hold.');
  expect(stderr).toMatch(/TEST +EXPECTED +GOT +CLAUSES/);
  expect(stderr).toMatch(/a Hungarian node stays out +not eligible, failing nodes\.location +eligible +-/);
  expect(stderr).toContain('config.failing_tests');
});

test('schema prints the JSON Schema of manifests without any network', async () => {
  const one = await run(['schema', '--kind', 'Network']);
  expect(one).toMatchObject({ exitCode: 0, stderr: '' });
  expect(JSON.parse(one.stdout)).toMatchObject({ title: 'Manifest of kind Network', type: 'object' });
  const both = await run(['schema', '--json']);
  expect(JSON.parse(both.stdout)).toMatchObject({ anyOf: [{}, {}] });
  expect((await run(['schema', '--kind', 'Cluster'])).exitCode).toBe(1);
});

test('while one manifest has a fault nothing is sent, and every fault names file, line and path', async () => {
  await using control = await routeServer({});
  const good = file('good.yaml', manifest('fine'));
  const bad = file(
    'bad.yaml',
    `${manifest('one')}---\n${manifest('two')}  nodes: 3\n---\n${manifest('three')}sped: {}\n`,
  );
  const { exitCode, stderr } = await run(['apply', '-f', good, bad, '--url', control.url]);
  expect(exitCode).toBe(1);
  expect(stderr).toContain(`${bad}:10 All mapping items must start at the same column`);
  expect(stderr).toContain(`${bad}:16 sped unknown key "sped"; did you mean spec?`);
  expect(control.calls).toEqual([]);
});

test('one name in two documents is a fault', async () => {
  await using control = await routeServer({});
  const twice = file('twice.yaml', `${manifest('same')}---\n${manifest('same')}`);
  const { exitCode, stderr } = await run(['apply', '-f', twice, '--url', control.url]);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('Subcloud same stands in');
  expect(control.calls).toEqual([]);
});

test('a node is meant by id or by a name that only one has', async () => {
  const twin = { ...node, id: 'nod_a2', name: 'twin' };
  const items = [node, twin, { ...twin, id: 'nod_a3' }];
  await using control = await routeServer({
    listNodes: () => ({ items, next: null }),
    removeNode: () => ({ complete: false, tableVersion: 4, outstanding: [{ gateway: 'gw_1', leaseEndsAt: at }] }),
  });
  const removed = await run(['node', 'remove', 'gpu-1', '--url', control.url]);
  expect(removed).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(`gw_1, at the latest ${at}`) });
  expect(control.calls.at(-1)).toMatchObject({ route: 'removeNode', input: { params: { id: 'nod_a1' } } });
  const ambiguous = await run(['node', 'remove', 'twin', '--url', control.url]);
  expect(ambiguous).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('nod_a2, nod_a3') });
});

test('durations carry their unit', async () => {
  await using control = await routeServer({
    createJoinToken: ({ body }) => ({
      id: 'join_1',
      operator: 'org:acme',
      joinToken: `scj_${body.expiresInS}`,
      expiresAt: at,
    }),
  });
  const made = await run(['join-token', 'create', '--expires-in', '2h', '--url', control.url]);
  expect(made.stdout).toContain(`subcloud -- agent --join ${control.url} --token scj_7200`);
  expect((await run(['join-token', 'create', '--url', control.url])).stdout).toContain('scj_86400');
  expect(await run(['join-token', 'create', '--expires-in', '2', '--url', control.url])).toMatchObject({ exitCode: 1 });
});

test('a map of places is read as it was printed', async () => {
  const places = [{ cidr: '127.0.0.2/32', country: 'DE' }];
  await using control = await routeServer({ getPlaces: () => ({ places }), putPlaces: () => withdrawal });
  const { stdout } = await run(['places', 'get', '--json', '--url', control.url]);
  const set = await run(['places', 'set', '-f', file('places.json', stdout), '--url', control.url]);
  expect(set.exitCode).toBe(0);
  expect(control.calls.at(-1)).toMatchObject({ route: 'putPlaces', input: { body: { places } } });
  const unquoted = await run([
    'places',
    'set',
    '-f',
    file('no.yaml', '- { cidr: 10.0.0.0/8, country: [NO] }'),
    '--url',
    control.url,
  ]);
  expect(unquoted).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('cidr') });
});

test('explain shows each clause with what would make it pass', async () => {
  const clause = {
    clause: 'nodes.location',
    pass: false,
    unknown: false,
    wanted: 'in EU',
    seen: 'US',
    source: 'measured',
    issuer: 'network',
    ageMs: 12_000,
    fix: 'a measured location in the EU',
  };
  await using control = await routeServer({
    explainNode: () => ({
      subcloud: 'eu-only',
      node: 'nod_a1',
      revision: 2,
      effectiveHash: 'abc',
      at,
      eligible: false,
      state: null,
      reason: 'nodes.location',
      since: null,
      returnsAt: null,
      servesElsewhere: ['global'],
      online: true,
      serving: false,
      consent: { permits: true, why: 'autoJoin: all' },
      models: ['tiny'],
      clauses: [clause],
      warnings: [],
    }),
  });
  const { exitCode, stdout } = await run(['explain', 'eu-only', 'nod_a1', '--url', control.url]);
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(
    /FAIL\s+nodes\.location\s+in EU\s+US\s+measured\s+network\s+12 s\s+a measured location in the EU/,
  );
});

test('a role is served with its own options, and every fault in them is told at once', async () => {
  const help = await run(['serve', 'gateway', '--help']);
  expect(help).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('--control-dir <value>') });
  const faulty = await run(['serve', 'gateway', '--port', 'x', '--host', ''], {
    env: { SUBCLOUD_MAX_CONNECTIONS: '0' },
  });
  expect(faulty).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('config.invalid_option') });
  for (const name of ['--port', '--host', 'SUBCLOUD_MAX_CONNECTIONS']) expect(faulty.stderr).toContain(name);
  const unknown = await run(['serve', 'control', '--bogus']);
  expect(unknown).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("'--bogus'") });
});

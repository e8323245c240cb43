/** Signing in and people through the command line alone, with a browser beside it where a person would have one. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ran, runCaptured } from '@subcloud/cli/testing/run-captured';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Browser, hiddenFields } from './browser.ts';

let network: TestNetwork;
let folder: string;
const PASSWORD = 'a long enough password';
const file = (home: string): string => join(home, '.config', 'subcloud', 'credentials.json');

beforeAll(async () => {
  network = await startTestNetwork();
  folder = mkdtempSync(join(tmpdir(), 'subcloud-login-'));
});
afterAll(async () => {
  await network[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** One person's machine. */
function machine(name: string) {
  const home = join(folder, name);
  const run = (argv: readonly string[], stdin = '', onStderr?: (all: string) => void): Promise<Ran> =>
    runCaptured(argv, { env: { HOME: home, SUBCLOUD_DATA: join(folder, 'no-network') }, stdin, onStderr });
  return {
    home,
    run,
    /** Must succeed. */
    async ok<Value = Record<string, unknown>>(...argv: string[]): Promise<Value> {
      const { exitCode, stdout, stderr } = await run([...argv, '--json']);
      if (exitCode !== 0) throw new Error(`subcloud ${argv.join(' ')}: ${stderr}`);
      return JSON.parse(stdout) as Value;
    },
    async refused(...argv: string[]): Promise<string> {
      const { exitCode, stderr } = await run([...argv, '--json']);
      expect(exitCode).toBe(1);
      return (JSON.parse(stderr) as { error: { code: string } }).error.code;
    },
  };
}

async function byDevice(name: string, email: string, password: string) {
  const on = machine(name);
  let code: string | undefined;
  const login = on.run(
    ['login', '--url', network.url, '--json'],
    '',
    (text) => (code ??= /[A-Z]{4}-[A-Z]{4}/.exec(text)?.[0]),
  );
  await eventually('the code is shown', () => Promise.resolve(code !== undefined));
  const browser = new Browser(network.url);
  await browser.signIn(email, password);
  const asked = await browser.submit('/account/device', { code: code ?? '', step: 'ask' });
  await browser.post('/account/device', { ...hiddenFields(asked.text), step: 'approve' });
  expect(await login).toMatchObject({ exitCode: 0 });
  return on;
}

describe('login', () => {
  const ann = () => machine('ann');

  test('makes the first account with the admin token, once, and keeps its key in a file of mode 0600', async () => {
    const { adminToken } = JSON.parse(readFileSync(join(network.dataDir, 'credentials.json'), 'utf8')) as {
      adminToken: string;
    };
    const argv = [
      'login',
      '--url',
      network.url,
      '--token',
      adminToken,
      '--email',
      'ann@example.com',
      '--password-stdin',
      '--json',
    ];
    const short = await ann().run(argv, 'short\n');
    expect(short.exitCode).toBe(1);
    expect(short.stderr).toContain('at least 12 characters');
    const made = await ann().run(argv, `${PASSWORD}\n`);
    expect(made).toMatchObject({ exitCode: 0, stderr: '' });
    expect(JSON.parse(made.stdout)).toMatchObject({ principal: 'user:ann', url: network.url });
    expect(made.stdout).not.toMatch(/sck_/);
    expect(statSync(file(ann().home)).mode & 0o777).toBe(0o600);
    expect(await ann().ok('whoami')).toMatchObject({ principal: 'user:ann', networkRole: 'admin' });
    const again = await machine('eve').run(argv, `${PASSWORD}\n`);
    expect(again.stderr).toContain('client.conflict');
  });

  test('by a code that is approved in a browser, and logout revokes the key', async () => {
    const laptop = await byDevice('laptop', 'ann@example.com', PASSWORD);
    expect(await laptop.ok('whoami')).toMatchObject({ principal: 'user:ann' });
    const { logins } = JSON.parse(readFileSync(file(laptop.home), 'utf8')) as { logins: { credential: string }[] };
    const kept = logins[0]?.credential ?? '';
    expect(await network.client(kept).call('whoami')).toMatchObject({ principal: 'user:ann' });
    expect(await laptop.ok('logout', '--url', network.url)).toMatchObject({ principal: 'user:ann', revoked: true });
    await expect(network.client(kept).call('whoami')).rejects.toMatchObject({ code: 'client.unauthenticated' });
    expect(readFileSync(file(laptop.home), 'utf8')).not.toContain('sck_');
    expect(await laptop.refused('whoami')).toBe('client.no_network');
  });

  test('by a personal access token that one has, which acts for oneself and can be revoked', async () => {
    const made = await ann().ok<{ id: string; key: string }>('key', 'create', '--name', 'ci', '--expires-in', '1d');
    const ci = machine('ci');
    const done = await ci.run(['login', '--url', network.url, '--token-stdin', '--json'], `${made.key}\n`);
    expect(done).toMatchObject({ exitCode: 0 });
    expect(await ci.ok('whoami')).toMatchObject({ principal: 'user:ann', credential: made.id });
    await ann().ok('key', 'revoke', made.id);
    expect(await ci.refused('whoami')).toBe('client.unauthenticated');
  });

  test('a key goes to no other address than the one that it was made for', async () => {
    expect(await ann().refused('whoami', '--url', 'http://127.0.0.1:1')).toBe('upstream.unreachable');
    const elsewhere = await startTestNetwork();
    try {
      const { stderr } = await ann().run(['whoami', '--url', elsewhere.url, '--json']);
      expect(stderr).toContain('client.unauthenticated');
    } finally {
      await elsewhere[Symbol.asyncDispose]();
    }
  });
});

test('an organisation, its people, teams, programs, delegation and a transfer, through the command line alone', async () => {
  const ann = machine('ann');
  await ann.ok('org', 'create', 'acme', '--name', 'Acme');
  const invited = await ann.ok<{ id: string; path: string }>(
    'org',
    'invite',
    'acme',
    'bob@example.com',
    '--role',
    'admin',
  );
  const browser = new Browser(network.url);
  const bobs = 'the password of bob';
  expect((await browser.submit(invited.path, { id: 'bob', password: bobs, step: 'create' })).status).toBe(303);
  const bob = await byDevice('bob', 'bob@example.com', bobs);
  expect(await bob.ok('org', 'list')).toMatchObject([{ id: 'org:acme', role: 'admin', members: 2 }]);

  // An admin runs the organisation, and makes no owners.
  expect(await bob.refused('org', 'role', 'acme', 'bob', 'owner')).toBe('policy.forbidden');
  expect(await bob.refused('org', 'remove', 'acme', 'ann')).toBe('policy.forbidden');
  expect(await ann.refused('org', 'leave', 'acme')).toBe('client.conflict');

  // Bob acts for the organisation's join tokens, keys and Subclouds.
  expect(await bob.ok('join-token', 'create', '--operator', 'org:acme')).toMatchObject({ operator: 'org:acme' });
  const program = await bob.ok<{ principal: string }>('service-account', 'create', 'acme', 'ci', '--role', 'viewer');
  const { key } = await bob.ok<{ key: string }>('key', 'create', '--principal', program.principal);
  expect(await network.client(key).call('whoami')).toMatchObject({ principal: 'user:svc.acme.ci' });
  const manifest = {
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'pool', owner: 'org:acme' },
    spec: {},
  };
  const applied = await bob.run(['apply', '-f', '-', '--json'], JSON.stringify(manifest));
  expect(applied).toMatchObject({ exitCode: 0 });
  await expect(
    network
      .client(key)
      .call('applySubcloud', { params: { name: 'pool' }, body: { manifest: JSON.stringify(manifest) } }),
  ).rejects.toMatchObject({ code: 'client.conflict' });
  expect(await network.client(key).call('getSubcloud', { params: { name: 'pool' } })).toMatchObject({
    owner: 'org:acme',
  });

  // Carol, of another organisation, manages it by delegation to her team, and not after it is taken back.
  await network.principal('user:carol');
  const forCarol = await ann.ok<{ path: string }>('account', 'invite', 'user:carol');
  const carols = 'the password of carol';
  await new Browser(network.url).submit(forCarol.path, {
    email: 'carol@example.com',
    password: carols,
    step: 'create',
  });
  const carol = await byDevice('carol', 'carol@example.com', carols);
  await carol.ok('org', 'create', 'birch');
  await carol.ok('team', 'create', 'birch/ops');
  await carol.ok('team', 'role', 'birch/ops', 'carol', 'member');
  expect(await carol.refused('subcloud', 'get', 'pool')).toBe('client.not_found');
  await bob.ok('subcloud', 'delegate', 'pool', '--to', 'team:birch/ops');
  expect(await carol.ok('subcloud', 'get', 'pool')).toMatchObject({ owner: 'org:acme' });
  await carol.ok('token', 'create', 'pool');
  expect(await carol.refused('subcloud', 'delete', 'pool')).toBe('policy.forbidden');
  expect(await carol.refused('subcloud', 'transfer', 'pool', 'org:birch')).toBe('policy.forbidden');
  await bob.ok('subcloud', 'delegate', 'pool', '--none');
  expect(await carol.refused('subcloud', 'get', 'pool')).toBe('client.not_found');

  // It changes hands when the receiver takes it. Ann is network admin, so her own transfer would be done at once.
  await ann.ok('account', 'role', 'bob', 'auditor');
  await ann.ok('org', 'role', 'acme', 'bob', 'owner');
  expect(await bob.ok('subcloud', 'transfer', 'pool', 'org:birch')).toMatchObject({ state: 'offered' });
  expect(await carol.refused('subcloud', 'get', 'pool')).toBe('client.not_found');
  await carol.ok('subcloud', 'receive', 'pool');
  expect(await carol.ok('subcloud', 'get', 'pool')).toMatchObject({ owner: 'org:birch' });
  await ann.ok('account', 'role', 'bob', 'none');
  expect(await bob.refused('subcloud', 'get', 'pool')).toBe('client.not_found');

  // Whoever leaves loses what came with it, at once.
  await ann.ok('org', 'remove', 'acme', 'bob');
  expect(await bob.refused('join-token', 'create', '--operator', 'org:acme')).toBe('policy.forbidden');
  await ann.ok('account', 'disable', 'bob');
  expect(await bob.refused('whoami')).toBe('client.unauthenticated');
});

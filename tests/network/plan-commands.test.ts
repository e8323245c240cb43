/** The commands around plan, draft, revisions and domains, against the real network, as a person types them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Ran, runCaptured } from '@subcloud/cli/testing/run-captured';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';

let network: TestNetwork;
let scratch: string;
let key: string;
let german: TestNode;

beforeAll(async () => {
  scratch = mkdtempSync(path.join(tmpdir(), 'subcloud-plan-'));
  network = await startTestNetwork();
  key = await network.principal('org:acme');
  const consent = { autoJoin: 'all' };
  german = await network.node({ name: 'german', operator: 'org:acme', consent, address: '127.0.1.1' });
  await network.serving('global', german);
});
afterAll(async () => {
  await network[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true });
});

function run(...argv: string[]): Promise<Ran> {
  const env = { SUBCLOUD_DATA: path.join(scratch, 'nothing') };
  return runCaptured([...argv, '--url', network.url, '--token', key], { env });
}

function file(name: string, text: string): string {
  const where = path.join(scratch, name);
  writeFileSync(where, text);
  return where;
}
const manifest = (places: string): string =>
  file(
    'home.yaml',
    `apiVersion: subcloud/v1\nkind: Subcloud\nmetadata: { name: home }\nspec:\n  nodes: { location: { in: ${places} } }\n  participation: { mode: open, autoJoin: true, cooldown: 0s }\n`,
  );

test('from a domain to a plan, an apply, a draft, a diff, a rollback', async () => {
  const set = await run('domain', 'set', 'org:acme/HOME', '--members', 'DE,AT', '--title', 'at home');
  expect(set).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('domain org:acme/HOME created') });
  expect((await run('domain', 'list')).stdout).toMatch(/org:acme\/HOME\s+at home\s+\S+\.1\s+2\s+org:acme/);

  const planned = await run('plan', '-f', manifest('["org:acme/HOME"]'));
  expect(planned).toMatchObject({ exitCode: 2, stdout: expect.stringMatching(/german\s+home\s+-\s+active\s+joined/) });
  expect((await run('apply', '-f', manifest('["org:acme/HOME"]'))).stdout).toContain('home created (revision 1)');
  expect((await run('plan', '-f', manifest('["org:acme/HOME"]'))).exitCode).toBe(0);
  expect((await run('domain', 'get', 'org:acme/HOME')).stdout).toMatch(/used by:\s+home/);
  expect(await run('domain', 'delete', 'org:acme/HOME')).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('home'),
  });

  const limited = await run('apply', '-f', manifest('[FR]'), '--max-leave', '20%');
  expect(limited).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('1 of 1 active members of home (100 %)'),
  });
  const shadowed = await run('apply', '-f', manifest('[FR]'), '--shadow');
  expect(shadowed).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/active\s+suspended\s+nodes\.location/),
  });
  expect((await run('subcloud', 'get', 'home', '--shadow')).stdout).toMatch(/draft of:\s+home/);
  expect((await run('apply', '-f', manifest('[FR]'), '--no-shadow')).stdout).toContain('the draft of home is ended');
  expect((await run('subcloud', 'get', 'home', '--shadow')).exitCode).toBe(1);

  await run('apply', '-f', manifest('[DE, FR]'));
  const difference = (await run('subcloud', 'diff', 'home')).stdout;
  expect(difference).toMatch(/\+\s+spec\.nodes\.location\.in\[\]\s+-\s+FR/);
  expect(difference).toMatch(/-\s+spec\.nodes\.location\.in\[\]\s+org:acme\/HOME/);
  expect((await run('subcloud', 'diff', 'home', 'one')).exitCode).toBe(1);
  expect((await run('subcloud', 'rollback', 'home', '1')).stdout).toContain('revision 3, with the content of 1');
  expect((await run('subcloud', 'revisions', 'home')).stdout).toMatch(/3\s+\S+Z\s+org:acme/);
});

test('what if, explain and its counts are tables for people', async () => {
  const facts = file('facts.yaml', 'location: { country: US }\n');
  const supposed = await run('plan', '--what-if', 'german', '--facts', facts);
  expect(supposed).toMatchObject({
    exitCode: 2,
    stdout: expect.stringMatching(/home\s+active\s+suspended\s+nodes\.location/),
  });
  const wrong = await run('plan', '--what-if', 'german', '--facts', file('wrong.yaml', 'location: { land: US }\n'));
  expect(wrong).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('location') });
  await network.serving('home', german);
  expect((await run('explain', 'home', 'german')).stdout).toMatch(
    /pass\s+nodes\.location\s+org:acme\/HOME .*measured\s+network/,
  );
  expect((await run('explain', 'home')).stdout).toMatch(/members:\s+active: 1/);
});

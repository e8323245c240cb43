/** Attesting from the command line, against a network that runs. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { type CommandLine, commandLine } from './run-command.ts';

let network: TestNetwork;
let node: TestNode;
let run: CommandLine;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'subcloud-attest-'));
  network = await startTestNetwork();
  node = await network.node({ name: 'gpu-1', consent: { autoJoin: 'all' } });
  await network.serving('global', node);
  const credentials = readFileSync(path.join(network.dataDir, 'credentials.json'), 'utf8');
  run = commandLine(network, (JSON.parse(credentials) as { adminToken: string }).adminToken);
});
afterAll(async () => {
  await network[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});
const json = (...argv: string[]): Promise<unknown> => run.json(...argv);

test('an attester is made, attests, is listed with its claims, and is revoked', async () => {
  const keyFile = path.join(folder, 'medcert.pem');
  const created = ['attester', 'create', 'medcert', '--facts', 'operatorSeat,audit', '--key-file', keyFile];
  const first = await run(...created);
  expect([first.exitCode, first.stdout.includes(keyFile)]).toEqual([0, true]);
  expect(statSync(keyFile).mode & 0o777).toBe(0o600);
  const pem = readFileSync(keyFile, 'utf8');
  expect((await run(...created)).stderr).toContain('is there already');
  expect(readFileSync(keyFile, 'utf8')).toBe(pem);

  const attested = await run('node', 'attest', 'gpu-1', 'operatorSeat', 'DE', '--issuer', 'medcert', '--key', keyFile);
  expect([attested.exitCode, attested.stderr]).toEqual([0, '']);
  expect(attested.stdout).toMatch(/issuer: +medcert/);
  await json('node', 'attest', 'gpu-1', 'operatorSeat', '{"country":"FR"}', '--expires', '30d');
  const digest = `sha256:${'c'.repeat(64)}`;
  await json('node', 'attest', '--digest', digest, '--issuer', 'medcert', '--key', keyFile);

  const { stdout } = await run('claim', 'list', 'gpu-1');
  const rows = stdout.split('\n').filter((line) => line.startsWith('operatorSeat'));
  expect(rows).toHaveLength(2);
  for (const row of rows) expect(row).toContain('no: claims disagree');
  const everything = (await json('claim', 'list')) as {
    fact: string;
    digest: string | null;
    id: string;
    issuer: string;
  }[];
  expect(everything.filter(({ fact }) => fact === 'audit').map((claim) => claim.digest)).toEqual([digest]);

  const french = everything.find(({ fact, issuer }) => fact === 'operatorSeat' && issuer === 'network');
  expect((await run('claim', 'revoke', french?.id ?? '')).stdout).toContain('in force on every gateway');
  expect((await run('claim', 'list', 'gpu-1')).stdout).not.toContain('claims disagree');
  expect((await run('attester', 'revoke', 'medcert')).exitCode).toBe(0);
  const left = (await run('claim', 'list')).stdout;
  expect([left.includes('medcert'), left.includes('operatorSeat')]).toEqual([false, false]);
  expect((await run('claim', 'list', '--revoked')).stdout).toContain('no: revoked');
  expect((await run('attester', 'list')).stdout).toContain('medcert');
});

test('a name that is taken leaves no key file behind', async () => {
  const keyFile = path.join(folder, 'second.pem');
  const refused = await run('attester', 'create', 'network', '--facts', 'audit', '--key-file', keyFile);
  expect([refused.exitCode, refused.stderr.includes('is taken')]).toEqual([1, true]);
  expect(() => statSync(keyFile)).toThrow('ENOENT');
});

test.each([
  [['node', 'attest'], 'Name the node'],
  [['node', 'attest', 'gpu-1', 'labels', 'x'], 'no fact that can be attested'],
  [['node', 'attest', 'gpu-1', 'reputation', 'high'], 'a number from 0 to 1'],
  [['node', 'attest', 'gpu-1', 'operatorSeat', 'Germany'], 'a country'],
  [['node', 'attest', 'gpu-1', 'hardware', 'H100'], 'JSON'],
  [['node', 'attest', 'gpu-1', 'trustLevel', 'verified', '--key', 'x'], '--issuer'],
  [['node', 'attest', 'gpu-1', 'trustLevel', 'verified', '--issuer', 'gone', '--key', '/nowhere/x'], 'no file'],
  [['node', 'attest', 'gpu-1', 'a', 'b', '--digest', `sha256:${'0'.repeat(64)}`], 'there is no node'],
])('%j says what is wrong', async (argv, told) => {
  const { exitCode, stderr } = await run(...argv);
  expect(exitCode).toBe(1);
  expect(stderr).toContain(told);
});

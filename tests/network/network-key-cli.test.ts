/**
 * The network's keys as an operator handles them, from the command line: shown, rotated, kept offline, certified and installed;
 * and the audit log over all of it, verified whole, and not where somebody changed either side of a rotation.
 */
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SIGNING_KEY_VALID_MS } from '@subcloud/contract/documents';
import type { SigningKeys } from '@subcloud/contract/routes/signing-keys';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CommandLine, commandLine } from './run-command.ts';

let network: TestNetwork;
let run: CommandLine;
let folder: string;
/** Where the network key is kept offline. */
let safe: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'subcloud-keys-'));
  safe = join(folder, 'network.pem');
  network = await startTestNetwork();
  const credentials = readFileSync(join(network.dataDir, 'credentials.json'), 'utf8');
  run = commandLine(network, (JSON.parse(credentials) as { adminToken: string }).adminToken);
});
afterAll(async () => {
  await network[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const keys = (): Promise<SigningKeys> => run.json<SigningKeys>('network-key', 'show');
const inState = async (state: string): Promise<string | undefined> =>
  (await keys()).keys.find((key) => key.state === state)?.publicKey;

interface Report {
  readonly entries: number;
  readonly seals: number;
  readonly unsealed: number;
}
const sealedWhole = (): Promise<Report> =>
  eventually('the whole log is sealed', async () => {
    const report = await run.json<Report>('audit', 'verify');
    return report.unsealed === 0 ? report : undefined;
  });

/** Signs where the network key is, which needs no network, and installs. */
async function certify(publicKey: string): Promise<void> {
  const { networkId } = await keys();
  const offline = commandLine({ url: 'http://127.0.0.1:9', clock: network.clock }, 'none');
  const made = await offline('network-key', 'certify', publicKey, '--network', networkId, '--key', safe);
  expect(made.exitCode).toBe(0);
  const file = join(folder, 'certificate.json');
  writeFileSync(file, made.stdout);
  expect((await run('network-key', 'install', file)).exitCode).toBe(0);
}

async function untilActive(publicKey: string): Promise<void> {
  await eventually(
    'the next key signs',
    async () => {
      network.clock.advance(4_000);
      return (await inState('active')) === publicKey;
    },
    60_000,
  );
}

async function expirySeconds(): Promise<number> {
  const page = await (await fetch(`${network.url}/metrics/control`)).text();
  return Number(/subcloud_signing_certificate_expiry_seconds\{state="active"\} (\S+)/.exec(page)?.[1]);
}

test('shown, rotated here, then offline: rotated, certified and installed; the log of all that verifies', async () => {
  const before = await keys();
  expect(before).toMatchObject({ networkKey: 'here', keys: [{ state: 'active' }] });
  expect((await run('network-key', 'show')).stdout).toContain('here (keys/network.pem)');
  await network.principal('user:first');
  await sealedWhole();

  const { keys: rotating } = await run.json<SigningKeys>('network-key', 'rotate');
  const second = rotating.find(({ state }) => state === 'next')?.publicKey ?? '';
  // Asked again while it is under way it is the same one.
  expect((await run.json<SigningKeys>('network-key', 'rotate')).keys).toHaveLength(2);
  await untilActive(second);
  await network.principal('user:second');
  await sealedWhole();

  renameSync(join(network.dataDir, 'keys', 'network.pem'), safe);
  await network.restartControl();
  await eventually('control is back', () => network.gateway.ready());
  expect(await keys()).toMatchObject({ networkKey: 'offline' });
  const third = (await run.json<SigningKeys>('network-key', 'rotate')).keys.find(({ state }) => state === 'next');
  expect(third?.notAfter).toBeNull();
  expect((await run('network-key', 'show')).stdout).toContain('waits for `certify`');
  const wrong = await run('network-key', 'install', join(network.dataDir, 'credentials.json'));
  expect(wrong.exitCode).toBe(1);
  await certify(third?.publicKey ?? '');
  await untilActive(third?.publicKey ?? '');
  expect((await keys()).keys.map(({ state }) => state)).toEqual(['active', 'retired', 'retired']);
  expect(await expirySeconds()).toBeGreaterThan(0);
  await network.principal('user:third');
  const report = await sealedWhole();
  expect(report.seals).toBeGreaterThanOrEqual(3);
  const shown = await run('key', 'list');
  expect(shown.exitCode).toBe(0);
  expect((await run('key', 'rotate')).exitCode, 'account keys are another noun').not.toBe(0);
}, 120_000);

test('a log over the rotations does not verify where either side was changed, whatever was hashed anew', async () => {
  const file = join(folder, 'log.ndjson');
  expect((await run('audit', 'export', file)).exitCode).toBe(0);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  const verify = async (changed: readonly string[]): Promise<number> => {
    const copy = join(folder, 'changed.ndjson');
    writeFileSync(copy, `${changed.join('\n')}\n`);
    return (await run('audit', 'verify', '--file', copy)).exitCode;
  };
  expect(await verify(lines)).toBe(0);
  const kind = (line: string): string => (JSON.parse(line) as { kind: string }).kind;
  const certificateOf = (line: string): string =>
    JSON.stringify((JSON.parse(line) as { certificate?: unknown }).certificate ?? null);
  const seals = lines.flatMap((line, at) => (kind(line) === 'seal' ? [at] : []));
  const signers = new Set(seals.map((at) => certificateOf(lines[at] ?? '')));
  expect(signers.size).toBeGreaterThanOrEqual(3);
  /** Where the certificate of the seals changes. */
  const turns = seals.filter(
    (at, index) => index > 0 && certificateOf(lines[at] ?? '') !== certificateOf(lines[seals[index - 1] ?? 0] ?? ''),
  );
  for (const turn of turns) {
    const entryBefore = lines.findLastIndex((line, at) => at < turn && kind(line) === 'entry');
    const entryAfter = lines.findIndex((line, at) => at > turn && kind(line) === 'entry');
    for (const at of [entryBefore, entryAfter]) {
      if (at < 0) continue;
      const edited = lines.map((line, index) => (index === at ? line.replace('admin', 'nobod') : line));
      expect(edited[at]).not.toBe(lines[at]);
      expect(await verify(edited), `entry at line ${at}`).not.toBe(0);
    }
    // The seal under the certificate of the key before, and the log without the seal.
    const older = JSON.parse(lines[seals[seals.indexOf(turn) - 1] ?? 0] ?? '') as { certificate: unknown };
    const forged = lines.map((line, index) =>
      index === turn ? JSON.stringify({ ...(JSON.parse(line) as object), certificate: older.certificate }) : line,
    );
    expect(await verify(forged), 'a seal under another key').not.toBe(0);
    if (turn !== seals.at(-1))
      expect(await verify(lines.filter((_, index) => index !== turn)), 'a seal gone').not.toBe(0);
  }
}, 60_000);

test('a certificate that ended leaves the log unsealed, not broken: the next one seals all of it', async () => {
  network.clock.advance(SIGNING_KEY_VALID_MS + 3_600_000);
  expect(await expirySeconds()).toBeLessThan(0);
  const store = new pg.Client({ connectionString: network.databaseUrl });
  await store.connect();
  try {
    const { rows: before } = await store.query<{ count: string }>('select count(*) from audit_seals');
    // Written past the gateway, which has no document that holds any more.
    await store.query(`insert into audit (entry) select entry from audit order by sequence desc limit 1`);
    for (let second = 0; second < 5; second += 1) {
      network.clock.advance(1_000);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { rows: after } = await store.query<{ count: string }>('select count(*) from audit_seals');
    expect(after).toEqual(before);
  } finally {
    await store.end();
  }
  // The gateway believes nobody and serves nobody, but what asks control is passed on.
  await certify(await eventually('control answers', () => inState('active'), 30_000));
  await sealedWhole();
}, 60_000);

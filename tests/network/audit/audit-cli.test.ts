/** The audit log from the command line: read, exported, verified; and what somebody with the database's rights cannot hide. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { type CommandLine, commandLine } from '../run-command.ts';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';

let network: TestNetwork;
let store: pg.Client;
let run: CommandLine;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'subcloud-audit-'));
  network = await startTestNetwork();
  store = new pg.Client({ connectionString: network.databaseUrl });
  await store.connect();
  const credentials = readFileSync(path.join(network.dataDir, 'credentials.json'), 'utf8');
  run = commandLine(network, (JSON.parse(credentials) as { adminToken: string }).adminToken);
  for (let count = 0; count < 5; count += 1) await network.principal(`user:u${count}`);
});
afterAll(async () => {
  await store.end();
  await network[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

async function verifySealed(): Promise<void> {
  await eventually('the whole log is sealed', async () => {
    const { exitCode, stdout } = await run('audit', 'verify', '--json');
    return exitCode === 0 && (JSON.parse(stdout) as { unsealed: number }).unsealed === 0;
  });
}

test('who did what is listed, newest first, and found by who, what and request', async () => {
  const { stdout } = await run('audit', 'list', '--action', 'principal.create', '--json');
  const items = JSON.parse(stdout) as { actor: string; subject: string; sequence: number; requestId: string }[];
  expect(items.slice(0, 2).map(({ subject }) => subject)).toEqual(['principal:user:u4', 'principal:user:u3']);
  const request = items[0]?.requestId ?? '';
  const one = JSON.parse((await run('audit', 'list', '--request', request, '--json')).stdout) as object[];
  expect(one).toEqual([items[0]]);
  expect((await run('audit', 'list', '--actor', 'nobody')).stdout).toContain('no entries');
  expect((await run('audit', 'list', '--limit', '1')).stdout.split('\n')).toHaveLength(3);
});

test('an export verifies without the network, also against an earlier one, and not when it was cut or edited', async () => {
  await verifySealed();
  const earlier = path.join(folder, 'earlier.ndjson');
  expect((await run('audit', 'export', earlier)).exitCode).toBe(0);
  expect((await run('audit', 'export', earlier)).exitCode, 'not over an earlier export').toBe(1);
  await network.principal('user:later');
  await verifySealed();
  const file = path.join(folder, 'log.ndjson');
  await run('audit', 'export', file);
  const verify = ['audit', 'verify', '--file', file];
  expect((await run(...verify, '--against', earlier)).stdout).toContain('All of it is sealed');
  expect((await run('audit', 'verify', '--against', file)).exitCode).toBe(0);
  expect((await run('audit', 'verify', '--file', earlier, '--against', file)).stderr).toContain('is gone');
  expect((await run(...verify, '--fingerprint', network.control.fingerprint)).exitCode).toBe(0);
  expect((await run(...verify, '--fingerprint', '0'.repeat(64))).exitCode).toBe(1);

  const text = readFileSync(file, 'utf8');
  const edited = path.join(folder, 'edited.ndjson');
  writeFileSync(edited, text.replace('user:u2', 'user:u9'));
  expect((await run('audit', 'verify', '--file', edited)).stderr).toMatch(/entry \d+ was changed/);
  writeFileSync(edited, text.split('\n').slice(0, -2).join('\n'));
  expect((await run('audit', 'verify', '--file', edited)).stderr).toContain('before the end of the log');
  writeFileSync(edited, 'not an export\n');
  expect((await run('audit', 'verify', '--file', edited)).exitCode).toBe(1);
});

const TRIGGERS = (what: string): string =>
  `alter table audit ${what} trigger user; alter table audit_seals ${what} trigger user;`;

/** As the owner of the tables with their triggers switched off: what an intruder there would do. */
async function tamper(statements: string): Promise<void> {
  await store.query(
    `begin; ${TRIGGERS('disable')}
     alter table audit_seals drop constraint if exists audit_seals_sequence_fkey;
     create table kept_audit as select sequence, entry, hash from audit;
     create table kept_seals as select sequence, document, certificate from audit_seals;
     ${statements}; ${TRIGGERS('enable')} commit`,
  );
}
async function restore(): Promise<void> {
  await store.query(
    `begin; ${TRIGGERS('disable')}
     delete from audit_seals; delete from audit;
     insert into audit (sequence, entry, hash) select sequence, entry, hash from kept_audit;
     insert into audit_seals select sequence, document, certificate from kept_seals;
     drop table kept_audit; drop table kept_seals; ${TRIGGERS('enable')} commit`,
  );
}

const rehash = `
  do $$ declare at record; last text := repeat('0', 64); place bigint := 0; begin
    for at in select sequence, entry from audit order by sequence loop
      place := place + 1;
      last := encode(sha256(convert_to('subcloud/v1/audit' || E'\\n' || place || E'\\n' || last || E'\\n' || at.entry, 'UTF8')), 'hex');
      update audit set sequence = place, hash = last where sequence = at.sequence;
    end loop; end $$`;
const edit = `update audit set entry = replace(entry, '"admin"', '"nobody"') where sequence = 3`;

test.each([
  ['an edit', edit],
  ['an edit with everything hashed anew', `${edit}; ${rehash}`],
  ['a gap', 'delete from audit where sequence = 4'],
  ['a gap that was closed', `delete from audit where sequence = 4; ${rehash}`],
  [
    'a reorder',
    'update audit set entry = case sequence when 2 then (select entry from audit where sequence = 3) else (select entry from audit where sequence = 2) end where sequence in (2, 3)',
  ],
  [
    'a cut end with its seals',
    'delete from audit_seals where sequence > 3; delete from audit where sequence > (select coalesce(max(sequence), 0) from audit_seals)',
  ],
  ['everything gone', 'delete from audit_seals; delete from audit'],
])('%s is found', async (_what, statements) => {
  await verifySealed();
  await tamper(statements);
  try {
    const { exitCode, stderr } = await run('audit', 'verify');
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('The audit log is not whole')]);
  } finally {
    await restore();
  }
  await verifySealed();
});

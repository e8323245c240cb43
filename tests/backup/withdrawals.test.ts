/**
 * Every write that the network knows, done after a backup to things that were there before it: what gives access after a
 * restore gave access at the end, or the restore names it. Driven by the table of all write routes, so that a new one is in
 * it by itself.
 */
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mirrorIn, restoreBackup, writeBackup } from '@subcloud/control/run';
import type { AuditEntry } from '@subcloud/contract/audit';
import { withClient } from '@subcloud/kit/postgres/with-client';
import { testDatabase } from '@subcloud/testkit/test-database';
import { startTestNetwork } from '@subcloud/testkit/test-network';
import { readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { BY_ACCOUNTS } from '../network/every-write-people.ts';
import { OWN_YES, type WriteName, everyWrite, send, writeNames } from '../network/every-write.ts';

const folder = mkdtempSync(join(tmpdir(), 'subcloud-withdrawals-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Their prerequisites are other services or sign-in, or they undo what another case here does. */
const ELSEWHERE: ReadonlySet<WriteName> = new Set(['nvidiaAttestation', ...BY_ACCOUNTS]);

/** What opens something, each with the subject of the audit entry that ends it. */
const ACCESS: readonly string[] = [
  `select 'key:' || id, 'in force' from account_keys where revoked_at is null`,
  `select 'token:' || id, hash from subcloud_tokens where revoked_at is null`,
  `select 'join-token:' || id, 'in force' from join_tokens where revoked_at is null`,
  `select 'gateway-token:' || id, 'in force' from gateway_tokens where revoked_at is null`,
  `select 'gateway:' || id, 'in force' from gateways where by = 'tls' and removed_at is null`,
  `select 'account:' || principal, 'in force ' || coalesce(password_hash, '') from accounts where disabled_at is null`,
  `select 'account:' || id, 'role ' || network_role from principals where network_role is not null`,
  `select 'attester:' || name, 'in force' from attesters where revoked_at is null`,
  `select 'claim:' || id, 'in force' from claims where revoked_at is null`,
  `select 'node:' || id, 'in force' from nodes where removed_at is null`,
  `select 'subcloud:' || name, 'revision ' || effective_hash from subclouds s
     join revisions r on r.subcloud_id = s.id and r.number = s.revision where deleted_at is null and s.id <> 'global'`,
  `select 'subcloud:' || s.name, 'delegate ' || principal from subcloud_delegates join subclouds s on s.id = subcloud_id`,
  `select 'subcloud:' || s.name, 'offered to ' || recipient from subcloud_transfers join subclouds s on s.id = subcloud_id`,
  `select 'subcloud:' || name, 'owned by ' || owner from subclouds where deleted_at is null and id <> 'global'`,
  `select 'member:' || group_id || '/' || principal, role from group_members`,
  `select 'member:' || s.name || '/' || node_id, state from memberships join subclouds s on s.id = subcloud_id
     where s.id <> 'global' and state not in ('left', 'removed', 'banned')`,
  `select 'member:' || s.name || '/' || node_id, answer from operator_answers join subclouds s on s.id = subcloud_id
     where answer = 'accepted'`,
  `select 'binding:' || id, state from bindings where state in ('offered', 'active')`,
  `select 'invitation:' || id, 'open' from invitations where answered_at is null`,
  `select 'domain:' || id, number::text from domains where deleted_at is null`,
];
const BANS = `select 'ban:' || id as subject from bans where lifted_at is null`;

interface Standing {
  readonly access: readonly { readonly subject: string; readonly state: string }[];
  readonly bans: readonly string[];
}

async function standing(databaseUrl: string): Promise<Standing> {
  return withClient(databaseUrl, async (client) => {
    const access: { subject: string; state: string }[] = [];
    for (const select of ACCESS)
      access.push(...(await client.query(`select subject, state from (${select}) as standing (subject, state)`)).rows);
    const bans = (await client.query<{ subject: string }>(BANS)).rows.map(({ subject }) => subject);
    return { access, bans };
  });
}

test('whatever was withdrawn after a backup is withdrawn again by the restore, or named', async () => {
  await using network = await startTestNetwork();
  const node = await network.node({ name: 'one', labels: { tier: 'gold' } });
  await network.serving('global', node);
  const { adminToken } = JSON.parse(readFileSync(join(network.dataDir, 'credentials.json'), 'utf8')) as {
    adminToken: string;
  };
  const cases = await everyWrite(network, node);
  const names = writeNames.filter((name) => !ELSEWHERE.has(name));
  const prepared = new Map<WriteName, object>();
  for (const name of names) prepared.set(name, await cases[name]());

  const file = join(folder, 'network.backup.gz');
  const { databaseUrl, dataDir } = network;
  const backup = await writeBackup({ databaseUrl, dataDir, out: createWriteStream(file), nowMs: Date.now() });
  for (const [name, input] of prepared) {
    const credential = name === 'enrol' ? undefined : OWN_YES.has(name) ? network.apiKey : adminToken;
    const { status, text } = await send(network, name, input, { credential });
    expect(status, `${name}: ${text}`).toBeLessThan(300);
  }
  const atTheEnd = await standing(databaseUrl);

  await using database = await testDatabase();
  const restored = await restoreBackup({
    file,
    databaseUrl: database.connectionString,
    dataDir: join(folder, 'restored'),
    mirror: mirrorIn(dataDir),
    nowMs: Date.now(),
  });
  const now = await standing(database.connectionString);
  const named = new Set(restored.undone.map(({ entry }) => entry.subject));
  const again = new Set(restored.withdrawn.map(({ entry }) => entry.action));

  const gave = new Set(atTheEnd.access.map(({ subject, state }) => `${subject} ${state}`));
  const back = now.access.filter(({ subject, state }) => !gave.has(`${subject} ${state}`) && !named.has(subject));
  expect(back).toEqual([]);
  expect(atTheEnd.bans.filter((ban) => !now.bans.includes(ban) && !named.has(ban))).toEqual([]);

  // No entry is passed over in silence: each is done again, or named.
  const { rows } = await withClient(databaseUrl, (client) =>
    client.query<{ entry: string }>('select entry from audit where sequence > $1 order by sequence', [
      backup.header.auditSequence,
    ]),
  );
  const since = rows.map(({ entry }) => JSON.parse(entry) as AuditEntry).filter(({ outcome }) => outcome === 'done');
  expect(since.length).toBeGreaterThanOrEqual(names.length);
  const told = new Set([...restored.withdrawn, ...restored.undone].map(({ entry }) => JSON.stringify(entry)));
  expect(since.filter((entry) => !told.has(JSON.stringify(entry)))).toEqual([]);
  expect([...again].sort()).toEqual(DONE_AGAIN);
}, 120_000);

test('a drain that was in force at the time of the backup and is said again since is in force, as it was, and no loose end', async () => {
  await using network = await startTestNetwork();
  const { id } = await network.node({ name: 'one' });
  const drain = (reason: string) => network.admin.call('drainNode', { params: { id }, body: { reason } });
  await drain('the disk');
  const file = join(folder, 'drained.backup.gz');
  const { databaseUrl, dataDir } = network;
  await writeBackup({ databaseUrl, dataDir, out: createWriteStream(file), nowMs: Date.now() });
  await drain('said again');
  await using database = await testDatabase();
  const { undone, withdrawn } = await restoreBackup({
    file,
    databaseUrl: database.connectionString,
    dataDir: join(folder, 'restored-drained'),
    mirror: mirrorIn(dataDir),
    nowMs: Date.now(),
  });
  expect([undone.map(({ entry }) => entry.action), withdrawn.map(({ entry }) => entry.action)]).toEqual([
    [],
    ['node.drain'],
  ]);
  const select = 'select drained_at, drained_by, drain_reason from nodes';
  const rowsOf = (url: string) => withClient(url, async (client) => (await client.query(select)).rows);
  expect(await rowsOf(database.connectionString)).toEqual(await rowsOf(databaseUrl));
  expect(await rowsOf(databaseUrl)).toMatchObject([{ drain_reason: 'the disk' }]);
}, 60_000);

const DONE_AGAIN = [
  'account.disable',
  'attester.revoke',
  'binding.decline',
  'binding.end',
  'claim.revoke',
  'gateway.remove',
  'gatewayToken.revoke',
  'invitation.revoke',
  'joinToken.revoke',
  'key.revoke',
  'member.ban',
  'member.deny',
  'member.remove',
  'node.drain',
  'node.remove',
  'org.remove',
  'signingKey.rotate',
  'subcloud.delete',
  'token.revoke',
  'token.rotate',
];

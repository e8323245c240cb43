/**
 * From the first schema on: what real processes of each earlier version left in a database is carried up migration by
 * migration, and means today what it meant to them.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuditVerifier } from '@subcloud/kit/audit-chain';
import { withClient } from '@subcloud/kit/postgres/with-client';
import { migrate } from '@subcloud/control/store/migrate';
import { auditOfNetwork } from '@subcloud/sdk/audit-log';
import { eventually } from '@subcloud/testkit/eventually';
import { testDatabase } from '@subcloud/testkit/test-database';
import { describe, expect, test } from 'vitest';
import { type Recorded, emptyDatabase, insertRows, readRecorded, recordedNames } from './recorded.ts';
import { startUpgraded } from './upgraded.ts';
import { contentOf, countsOf, migrationFiles, schemaOf, sha256OfMigration } from './walk.ts';

/** A migration that a release has run is never edited: databases that ran it would not hear of it. Write a new one. */
const RELEASED: Readonly<Record<string, string>> = {
  '0001-first.sql': '0b6e815e2f882669943f552591c229dfadf05c724112144086f1a074175c2c28',
  '0002-claims.sql': 'a910a61b32ca8441bbf417a7824ff47313b3cf1397e9dac44d3a5a19cff0ca1c',
  '0003-membership.sql': '393d3131a620c2ce773fc09e6c452aec8357b42080cfbe214be301204325100c',
  '0004-domains.sql': '2ce03e4bf16f37b9930a2140977a2260603e3eb5c2eb795c9b852dfb6dc8a1fc',
  '0005-audit.sql': '2be6789d475f4dd40ba9799a030325fdb307b0a784182a715078f560e5ee94a9',
  '0006-people.sql': '1ccfc27bdc1a57037b7223d02d576dce05040549923ca5b913bfd6dd295ee7a2',
  '0007-accounts.sql': '100d5cfa2bb1f4b910b9b7d62fd32480008290cfc2249d743ce52e5c6ee5d840',
  '0008-bindings.sql': 'e5591d7190d17a6411347f886f7ffe359710ce11da86994699b7f8ab48497cea',
  '0009-participation.sql': 'ee4f321523ad19f1dc20302a7e88410c3f3aca7678f65231e65acdcedc7b8552',
  '0010-idempotency.sql': 'b8059b5fe59b030f9452c373eba7427d4224024797ed39cd86d849b2c1185007',
  '0011-gateways.sql': '7497bcbfdc61f882151dd24cbb549fa5ad2632d8ef1672cea0972dd95e69a4df',
  '0012-leader.sql': '2aaa8aa2af393dc6d2d1808f94785c20253d6f56f89f33627f4101c2cdaaf863',
  '0013-usage-days.sql': 'a8e5e65560e3b17fba564ac190c566e89eef48fabada5d12795d2738f66563e7',
  '0014-tokens.sql': '5b6be39207f0aebe487fe2c0ee79d0b21554eeb7e41eb1e98a8a4bc4ec85e31b',
};

const NEWEST = migrationFiles.length;

test('a migration that was released is what it was, and later ones have later numbers', () => {
  const found = Object.fromEntries(
    migrationFiles.filter((name) => name in RELEASED).map((name) => [name, sha256OfMigration(name)]),
  );
  expect(found).toEqual(RELEASED);
  expect(migrationFiles.slice(0, Object.keys(RELEASED).length)).toEqual(Object.keys(RELEASED));
});

test('there is a recording of the first schema', () => {
  expect(readRecorded('schema-01').meaning.versions.schema).toBe(1);
});

describe.each(recordedNames)('the database of %s', (name) => {
  test('walks up with every row, and means what it meant: memberships, credentials, usage, audit log, agents that serve', async () => {
    const recorded = readRecorded(name);
    const databaseUrl = await walked(recorded);
    await using fresh = await testDatabase();
    expect(await schemaOf(databaseUrl)).toEqual(await schemaOf(fresh.connectionString));
    const before = await contentOf(databaseUrl);
    await migrate(databaseUrl);
    expect(await contentOf(databaseUrl), 'a second run').toBe(before);

    const folder = mkdtempSync(join(tmpdir(), 'subcloud-walk-'));
    try {
      await using upgraded = await startUpgraded(recorded, { folder, databaseUrl });
      await meansTheSame(recorded, upgraded);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

test('a control that is older than the database refuses it by name, and changes nothing', async () => {
  const databaseUrl = await emptyDatabase();
  await migrate(databaseUrl);
  await withClient(databaseUrl, (client) =>
    client.query('insert into migrations (number, name) values ($1, $2)', [NEWEST + 1, 'of-tomorrow.sql']),
  );
  const before = await contentOf(databaseUrl);
  await expect(migrate(databaseUrl)).rejects.toThrow(
    `The database is of a newer version (schema ${NEWEST + 1}) than this release (schema ${NEWEST}). Start the newer release.`,
  );
  expect(await contentOf(databaseUrl)).toBe(before);
});

test('a migration that fails leaves nothing of itself, and is run again by the next start', async () => {
  const databaseUrl = await emptyDatabase();
  await migrate(databaseUrl, 1);
  // Stands in the way of one that makes such a table.
  await withClient(databaseUrl, (client) => client.query('create table audit_seals (x integer)'));
  await expect(migrate(databaseUrl)).rejects.toThrow('migration 0005-audit.sql failed');
  await withClient(databaseUrl, async (client) => {
    expect((await client.query(`select to_regclass('audit') as found`)).rows).toEqual([{ found: null }]);
    await client.query('drop table audit_seals');
  });
  await migrate(databaseUrl);
  await using fresh = await testDatabase();
  expect(await schemaOf(databaseUrl)).toEqual(await schemaOf(fresh.connectionString));
});

test('of a request with several routing halves, that of the batch that came first stays, and the serving half with it', async () => {
  const databaseUrl = await emptyDatabase();
  await migrate(databaseUrl, 22);
  await withClient(databaseUrl, async (client) => {
    await client.query(`insert into receipt_certificates values ('cert', '{}', '{}', 'key', 1)`);
    await client.query(
      `insert into receipt_batches values ('one', '{}', 'cert', 5), ('two', '{}', 'cert', 3), ('three', '{}', 'cert', 3)`,
    );
    const half = `insert into receipt_halves (request_id, side, at, principal, node_id, pool, batch, index, leaf, path)
      values ($1, $2, 1, 'user:ada', $3, 'global', $4, 0, 'leaf', '[]')`;
    for (const values of [
      ['req_1', 'routing', 'nod_a', 'one'],
      ['req_1', 'routing', 'nod_c', 'two'],
      ['req_1', 'routing', 'nod_b', 'three'],
      ['req_1', 'serving', 'nod_a', 'one'],
      ['req_2', 'routing', 'nod_a', 'one'],
    ])
      await client.query(half, values);
    await migrate(databaseUrl);
    const { rows } = await client.query<{ half: string }>(
      `select concat_ws(' ', request_id, side, node_id) as half from receipt_halves order by 1`,
    );
    expect(rows.map((row) => row.half)).toEqual(['req_1 routing nod_b', 'req_1 serving nod_a', 'req_2 routing nod_a']);
  });
});

/** One migration at a time. No row is lost on the way. */
async function walked({ rows, meaning }: Recorded): Promise<string> {
  const databaseUrl = await emptyDatabase();
  await migrate(databaseUrl, meaning.versions.schema);
  await insertRows(databaseUrl, rows);
  let before = await countsOf(databaseUrl);
  expect([...before.values()].reduce((sum, count) => sum + count, 0)).toBe(rows.length);
  for (let number = meaning.versions.schema + 1; number <= NEWEST; number += 1) {
    await migrate(databaseUrl, number);
    const after = await countsOf(databaseUrl);
    for (const [table, count] of before)
      expect(after.get(table) ?? 0, `${table} after ${number}`).toBeGreaterThanOrEqual(count);
    before = after;
  }
  return databaseUrl;
}

async function meansTheSame({ meaning }: Recorded, upgraded: Awaited<ReturnType<typeof startUpgraded>>): Promise<void> {
  const { admin } = upgraded;
  expect((await admin.call('network')).id).toBe(meaning.networkId);
  const stateOf = async (pool: string, node: string): Promise<string> =>
    (await admin.call('explainNode', { params: { name: pool, node } })).state ?? 'none';
  const states = async (): Promise<Record<string, Record<string, string>>> => {
    const found: Record<string, Record<string, string>> = {};
    for (const pool of Object.keys(meaning.memberships)) {
      found[pool] = {};
      for (const [nodeName, node] of Object.entries(meaning.nodes)) found[pool][nodeName] = await stateOf(pool, node);
    }
    return found;
  };
  expect(await states()).toEqual(meaning.memberships);
  const { items: principals } = await admin.call('listPrincipals', {});
  expect(principals.map(({ id }) => id)).toEqual(expect.arrayContaining([...meaning.principals]));
  const subclouds = await admin.call('listSubclouds', {});
  for (const gone of meaning.deleted) expect(subclouds.items.map(({ name }) => name)).not.toContain(gone);

  const sum = { requests: 0, promptTokens: 0, completionTokens: 0 };
  for (const item of (await admin.call('listUsage', {})).items) {
    sum.requests += item.requests;
    sum.promptTokens += item.promptTokens;
    sum.completionTokens += item.completionTokens;
  }
  expect(sum).toEqual(meaning.usage);

  // The same agents, with the keys and state that they had, and callers with the secrets that they had.
  for (const nodeName of Object.keys(meaning.nodes)) await upgraded.startAgent(nodeName);
  for (const { pool, secret } of meaning.opens)
    await eventually(`${pool} is open`, async () => (await upgraded.chat(pool, secret)) === 200, 20_000);
  for (const { pool, secret } of meaning.closed) expect(await upgraded.chat(pool, secret)).toBe(401);
  await eventually('memberships are as they were', async () => {
    expect(await states()).toEqual(meaning.memberships);
    return true;
  });

  await eventually('the audit log is whole, and its newest entries are sealed', async () => {
    let verifier: ReturnType<typeof createAuditVerifier> | undefined;
    for await (const line of auditOfNetwork(admin)) {
      if (line.kind === 'log')
        verifier = createAuditVerifier([line.head.networkKey], line.head.anchor === null ? [] : [line.head.anchor]);
      else if (line.kind === 'entry') verifier?.entry(line);
      else if (line.kind === 'seal') verifier?.seal(line);
    }
    const report = verifier?.end();
    expect(report?.faults).toEqual([]);
    return report?.sealedTo === report?.entries;
  });
}

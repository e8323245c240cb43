import { withClient } from '@subcloud/kit/postgres/with-client';
import { expect, inject, test } from 'vitest';
import { socketUrl } from '@subcloud/kit/postgres/socket-url';
import { testDatabase } from './test-database.ts';

const tableNames = "select table_name as name from information_schema.tables where table_schema = 'public' order by 1";

test('a test database is migrated, and what one test writes no other sees', async () => {
  await using first = await testDatabase();
  await using second = await testDatabase();
  expect(first.connectionString).not.toBe(second.connectionString);
  await withClient(first.connectionString, async (client) => {
    expect((await client.query(tableNames)).rows.length).toBeGreaterThan(0);
    await client.query('create table only_here ()');
  });
  await withClient(second.connectionString, async (client) => {
    const names = (await client.query<{ name: string }>(tableNames)).rows.map((row) => row.name);
    expect(names.length).toBeGreaterThan(0);
    expect(names).not.toContain('only_here');
  });
});

test('many test databases can be cloned at the same moment', async () => {
  const databases = await Promise.all(Array.from({ length: 6 }, () => testDatabase()));
  expect(new Set(databases.map((database) => database.connectionString)).size).toBe(6);
});

test('a connection to the template is refused, since it would keep others from cloning', async () => {
  const server = inject('testPostgres');
  await expect(withClient(socketUrl(server, server.templateDatabase), () => Promise.resolve())).rejects.toThrow(
    /not currently accepting connections/,
  );
});

test('a database in use when its test ends does not disturb the run', async () => {
  const database = await testDatabase();
  await withClient(database.connectionString, async (client) => {
    await database[Symbol.asyncDispose]();
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });
});

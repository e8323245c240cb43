import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '@subcloud/kit/log';
import { withClient } from '@subcloud/kit/postgres/with-client';
import { testDatabase } from '@subcloud/testkit/test-database';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { openDatabase } from './database.ts';

describe('a connection that PostgreSQL ends', () => {
  test('between two statements of a transaction fails the transaction, and nothing else', async () => {
    await using database = await testDatabase();
    const db = openDatabase(database.connectionString, silentLog);
    try {
      const held = db.transaction().execute(async (tx) => {
        const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx);
        await withClient(database.connectionString, (client) =>
          client.query('select pg_terminate_backend($1)', [rows[0]?.pid]),
        );
        // The end arrives while nobody waits for an answer: an error that nobody hears would end this process.
        await new Promise((resolve) => setTimeout(resolve, 100));
        return sql`select 1`.execute(tx);
      });
      await expect(held).rejects.toThrow(/terminat|not queryable|ended/i);
      expect((await sql<{ one: number }>`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
    } finally {
      await db.destroy();
    }
  });

  test('every client of ours that is made by hand is listened to', () => {
    const folder = join(import.meta.dirname, '../../..');
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
      (path) => path.endsWith('.ts') && !path.includes('node_modules') && !path.endsWith('.test.ts'),
    );
    const unheard = files.filter((path) => {
      const text = readFileSync(join(folder, path), 'utf8');
      return (
        text.split('new pg.Client(').length - 1 > text.split(/client\.on\('error'/).length - 1 && !path.includes('test')
      );
    });
    expect(unheard).toEqual([]);
  });
});

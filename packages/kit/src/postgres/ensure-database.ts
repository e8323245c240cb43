import pg from 'pg';
import { withClient } from './with-client.ts';

/**
 * Makes a database unless it exists. Several processes may do so at once.
 *
 * @param adminUrl of a database that exists, as a role that may make databases
 */
export async function ensureDatabase(adminUrl: string, name: string): Promise<void> {
  await withClient(adminUrl, async (client) => {
    const found = await client.query('select 1 from pg_database where datname = $1', [name]);
    if (found.rowCount !== 0) return;
    try {
      await client.query(`create database ${client.escapeIdentifier(name)}`);
    } catch (error) {
      if (!isMadeByAnother(error)) throw error;
    }
  });
}

/** Between the two statements: `duplicate_database`, or at the same moment: `unique_violation` on the catalogue. */
function isMadeByAnother(error: unknown): boolean {
  return error instanceof pg.DatabaseError && (error.code === '42P04' || error.code === '23505');
}

/**
 * Numbered SQL migrations, each once and in order, in one transaction each, under an advisory lock, so that two starts
 * never run one twice. A database that is newer than this code is refused.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { StartError } from '@subcloud/kit/start-error';
import pg from 'pg';

const FOLDER = join(import.meta.dirname, 'migrations');
/** Any fixed number: it names this lock among all advisory locks of the database. */
const LOCK = 7_700_001;

/** Brings the database to this code's schema, or only as far as `upTo`. Throws when it is newer, or when a migration fails (then nothing of it stays). */
export async function migrate(connectionString: string, upTo = Number.POSITIVE_INFINITY): Promise<void> {
  const client = new pg.Client({ connectionString });
  // A connection that breaks fails the statement; without a listener it would end the process instead.
  client.on('error', () => undefined);
  await client.connect().catch((error: unknown) => {
    throw new StartError({
      code: 'config.database_unusable',
      happened: `The database cannot be used: ${error instanceof Error ? error.message : String(error)}.`,
      next: 'Check that PostgreSQL runs, and that address, user, password and database of --database-url are right.',
      cause: error,
    });
  });
  try {
    await client.query('select pg_advisory_lock($1)', [LOCK]);
    await client.query(
      'create table if not exists migrations (number integer primary key, name text not null, applied_at timestamptz not null default now())',
    );
    const applied = await client.query<{ number: number }>('select number from migrations order by number');
    const known = migrations();
    const newest = applied.rows.at(-1)?.number ?? 0;
    if (newest > known.length)
      throw new StartError({
        code: 'config.newer_database',
        happened: `The database is of a newer version (schema ${newest}) than this release (schema ${known.length}).`,
        next: 'Start the newer release.',
      });
    for (const { number, name, sql } of known.slice(newest)) {
      if (number > upTo) return;
      await client.query('begin');
      try {
        await client.query(sql);
        await client.query('insert into migrations (number, name) values ($1, $2)', [number, name]);
        await client.query('commit');
      } catch (error) {
        await client.query('rollback');
        throw new Error(`migration ${name} failed`, { cause: error });
      }
    }
  } finally {
    await client.end();
  }
}

function migrations(): { number: number; name: string; sql: string }[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .map((name, index) => {
      if (Number(name.slice(0, 4)) !== index + 1) throw new Error(`migration ${name} breaks the numbering`);
      return { number: index + 1, name, sql: readFileSync(join(FOLDER, name), 'utf8') };
    });
}

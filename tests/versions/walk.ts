/** The steps of a walk through the migrations, and what a database says of itself before and after one. */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { withClient } from '@subcloud/kit/postgres/with-client';

const FOLDER = join(import.meta.dirname, '../../packages/control/src/store/migrations');

export const migrationFiles: readonly string[] = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.sql'))
  .sort();

export function sha256OfMigration(name: string): string {
  return createHash('sha256')
    .update(readFileSync(join(FOLDER, name)))
    .digest('hex');
}

/** Rows by table. */
export async function countsOf(databaseUrl: string): Promise<ReadonlyMap<string, number>> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'migrations'`,
    );
    const counts = new Map<string, number>();
    for (const { name } of rows) {
      const { rowCount } = await client.query(`select from "${name}"`);
      counts.set(name, rowCount ?? 0);
    }
    return counts;
  });
}

/** Of everything: rows, and how each table, index, constraint and function is defined. */
export async function contentOf(databaseUrl: string): Promise<string> {
  return withClient(databaseUrl, async (client) => {
    const parts: unknown[] = [];
    const { rows } = await client.query<{ name: string }>(
      `select tablename as name from pg_tables where schemaname = 'public' order by 1`,
    );
    for (const { name } of rows)
      parts.push((await client.query(`select to_jsonb(r)::text as row from "${name}" r order by 1`)).rows);
    parts.push(await schemaOf(databaseUrl));
    return JSON.stringify(parts);
  });
}

export async function schemaOf(databaseUrl: string): Promise<readonly string[]> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ line: string }>(`
      select c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || case when a.attnotnull then ' not null' else '' end
        || coalesce(' ' || pg_get_expr(d.adbin, d.adrelid), '') as line
        from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
      union all select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace
      union all select indexdef from pg_indexes where schemaname = 'public'
      union all select pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace
      order by 1`);
    return rows.map(({ line }) => line);
  });
}

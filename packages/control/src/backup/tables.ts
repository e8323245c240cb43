/** The tables of a network, read from the database itself, so that a new one is never forgotten. */
import type pg from 'pg';

export interface TableShape {
  /** Quoted, with its schema. */
  readonly name: string;
  /** Quoted; without those that the database computes. */
  readonly columns: readonly string[];
  /** Tables that its rows refer to. */
  readonly needs: readonly string[];
  readonly hasTriggers: boolean;
}

/** Made again by a start; of no use elsewhere. */
const NOT_KEPT: ReadonlySet<string> = new Set(['public.migrations']);

/** In an order in which every row finds what it refers to. */
export async function tablesOf(client: pg.ClientBase): Promise<readonly TableShape[]> {
  const { rows } = await client.query<{
    key: string;
    name: string;
    columns: string[];
    needs: string[] | null;
    triggers: boolean;
  }>(`
    select n.nspname || '.' || c.relname as key,
      quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
      (select array_agg(quote_ident(a.attname) order by a.attnum) from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns,
      (select array_agg(distinct fn.nspname || '.' || f.relname) from pg_constraint k
        join pg_class f on f.oid = k.confrelid join pg_namespace fn on fn.oid = f.relnamespace
        where k.conrelid = c.oid and k.contype = 'f' and k.confrelid <> c.oid) as needs,
      exists (select 1 from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal) as triggers
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition
      and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg_%'
    order by 1`);
  const left = new Map(rows.filter(({ key }) => !NOT_KEPT.has(key)).map((row) => [row.key, row]));
  const ordered: TableShape[] = [];
  while (left.size > 0) {
    const free = [...left.values()].filter(({ needs }) => !(needs ?? []).some((key) => left.has(key)));
    if (free.length === 0) throw new Error(`tables refer to each other in a circle: ${[...left.keys()].join(', ')}`);
    for (const { key, name, columns, needs, triggers } of free) {
      left.delete(key);
      ordered.push({ name, columns, needs: needs ?? [], hasTriggers: triggers });
    }
  }
  return ordered;
}

/** What limits in dry run would have refused, counted from decision records. */
import { sql } from 'kysely';
import type { Database } from './database.ts';

/** By whose limit and which (`caller requestsPerMinute`); one request may count for several. Reads these records alone. */
export async function overLimitCounts(
  db: Pick<Database, 'selectFrom'>,
  pool: string,
  sinceMs: number,
): Promise<Readonly<Record<string, number>>> {
  const { rows } = await sql<{ over: string; requests: number }>`
    select over, count(*)::bigint as requests
    from decisions, jsonb_array_elements_text(record -> 'overLimit') as over
    where record ? 'overLimit' and pool = ${pool} and at >= ${sinceMs} group by over order by over`.execute(
    db as Database,
  );
  return Object.fromEntries(rows.map(({ over, requests }) => [over, Number(requests)]));
}

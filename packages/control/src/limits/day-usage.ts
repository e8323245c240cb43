/** What has been used of a UTC day, for gateways that begin to hand out a share of a limit a day. */
import type { DayUsageRequest, DayUsageResponse } from '@subcloud/contract/watch';
import { sql } from 'kysely';
import type { Database } from '../store/database.ts';

const DAY_MS = 86_400_000;

export async function readDayUsage(db: Database, { day }: DayUsageRequest): Promise<DayUsageResponse> {
  const rows = await db
    .selectFrom('usage')
    .select(['pool', 'principal', 'credential'])
    .select(sql<number>`sum(prompt_tokens::bigint + completion_tokens)::bigint`.as('tokens'))
    .where('at', '>=', day * DAY_MS)
    .where('at', '<', (day + 1) * DAY_MS)
    .groupBy(['pool', 'principal', 'credential'])
    .execute();
  return { used: rows };
}

/**
 * Usage summed for people. Records of the last weeks stand one by one, older ones by day (usage_days), and a report reads both.
 */
import type { UsageGroup } from '@subcloud/contract/routes/control';
import { type RawBuilder, sql } from 'kysely';
import type { Database } from './database.ts';
import type { PrincipalId } from '@subcloud/policy/principal';

export const DAY_MS = 86_400_000;
/** Single records are kept so long, then summed by day. */
export const USAGE_KEPT_MS = 35 * DAY_MS;

export interface UsageQuestion {
  readonly by: readonly UsageGroup[];
  readonly sinceMs: number;
  readonly untilMs: number;
  /** Whose usage; undefined: everybody's. */
  readonly principals: readonly PrincipalId[] | undefined;
  /** Pools of which all usage is shown, each since it began: a later Subcloud of a name has nothing of an earlier one. */
  readonly pools: readonly { readonly name: string; readonly sinceMs: number }[];
  /** Account -> the organisation that it acts for, where its id does not say it. */
  readonly organisations: ReadonlyMap<string, string>;
  readonly limit: number;
  /** The groups of the last row that was shown. */
  readonly after: readonly string[] | undefined;
}

export interface UsageRow {
  readonly groups: Readonly<Partial<Record<UsageGroup, string>>>;
  readonly requests: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly estimated: number;
}

export async function usageReport(db: Pick<Database, 'selectFrom'>, question: UsageQuestion): Promise<UsageRow[]> {
  const { by, sinceMs, untilMs, principals, pools, organisations, limit, after } = question;
  const accounts = [...organisations.keys()];
  const theirs = [...organisations.values()];
  const columns: Readonly<Record<UsageGroup, RawBuilder<string>>> = {
    day: sql`to_char(to_timestamp(day / 1000) at time zone 'UTC', 'YYYY-MM-DD')`,
    principal: sql`principal`,
    // An organisation's own, its teams', its service accounts'; '' where the account acts for itself.
    organisation: sql`coalesce(known.organisation, case when principal like 'org:%' then principal
      when principal like 'team:%' then 'org:' || split_part(substr(principal, 6), '/', 1) else '' end)`,
    subcloud: sql`pool`,
    model: sql`model`,
  };
  const chosen = by.map((group) => columns[group]);
  const names = sql.join(chosen);
  const seen =
    principals === undefined
      ? sql`true`
      : sql`(principal = any(${[...principals]}::text[]) or exists (
          select 1 from unnest(${pools.map(({ name }) => name)}::text[], ${pools.map((pool) => pool.sinceMs)}::bigint[]) as own (name, since)
          where own.name = pool and at >= own.since))`;
  const beyond =
    after === undefined ? sql`` : sql`having (${names}) > (${sql.join(after.map((value) => sql`${value}::text`))})`;
  const { rows } = await sql<Record<string, string | number>>`
    with counted as (
      select at, at - at % ${DAY_MS}::bigint as day, principal, pool, model, 1 as requests, prompt_tokens::bigint as prompt,
        completion_tokens::bigint as completion, estimated::int as estimated
      from usage where at >= ${sinceMs} and at < ${untilMs}
      union all
      select day, day, principal, pool, model, requests, prompt_tokens, completion_tokens, estimated
      from usage_days where day >= ${sinceMs} and day < ${untilMs}
    )
    select ${sql.join(by.map((group) => sql`${columns[group]} as ${sql.id(group)}`))}, sum(requests)::bigint as requests, sum(prompt)::bigint as prompt,
      sum(completion)::bigint as completion, sum(estimated)::bigint as estimated
    from counted left join unnest(${accounts}::text[], ${theirs}::text[]) as known (account, organisation) on known.account = principal
    where ${seen} group by ${names} ${beyond} order by ${names} limit ${limit}`.execute(db as Database);
  return rows.map((row) => ({
    groups: Object.fromEntries(by.map((group) => [group, String(row[group])])),
    requests: Number(row['requests']),
    promptTokens: Number(row['prompt']),
    completionTokens: Number(row['completion']),
    estimated: Number(row['estimated']),
  }));
}

/**
 * Sums what is older than USAGE_KEPT_MS by day and deletes it, in one statement. Up to which sequence of each gateway
 * was summed is kept: a batch that comes again then changes nothing.
 */
export async function rollUpUsage(db: Database, nowMs: number): Promise<void> {
  const before = nowMs - USAGE_KEPT_MS - ((nowMs - USAGE_KEPT_MS) % DAY_MS);
  await sql`
      with old as (delete from usage where at < ${before} returning gateway, sequence, at, principal, pool, model, prompt_tokens,
        completion_tokens, estimated),
      summed as (
        insert into usage_days (day, principal, pool, model, requests, prompt_tokens, completion_tokens, estimated)
        select at - at % ${DAY_MS}::bigint, principal, pool, model, count(*), sum(prompt_tokens), sum(completion_tokens),
          count(*) filter (where estimated)
        from old group by 1, 2, 3, 4
        on conflict (day, principal, pool, model) do update set requests = usage_days.requests + excluded.requests,
          prompt_tokens = usage_days.prompt_tokens + excluded.prompt_tokens,
          completion_tokens = usage_days.completion_tokens + excluded.completion_tokens,
          estimated = usage_days.estimated + excluded.estimated)
      insert into usage_rolled (gateway, sequence) select gateway, max(sequence) from old group by gateway
      on conflict (gateway) do update set sequence = greatest(usage_rolled.sequence, excluded.sequence)`.execute(db);
}

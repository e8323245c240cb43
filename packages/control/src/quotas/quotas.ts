/**
 * Quotas: how much one holder (an account, or an organisation with its teams and service accounts) may have. What is had is
 * counted from the rows themselves, in the transaction that would add to it and behind a lock of the holder, so that however
 * many come at once the sum never passes the limit.
 */
import { AppError } from '@subcloud/contract/errors';
import { QUOTA_DEFAULTS, QUOTA_NAMES, type QuotaAmounts, type QuotaName } from '@subcloud/contract/routes/quotas';
import { compileCel } from '@subcloud/policy/cel/cel-expression';
import { NODE_VARIABLES } from '@subcloud/policy/cel/node-variables';
import type { SubcloudManifest } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import { type Kysely, sql } from 'kysely';
import type { Actor } from '../access/actor.ts';
import { mayForPrincipal } from '../access/authorise.ts';
import type { Schema } from '../store/schema.ts';
import { organisationOf } from '../world/people.ts';
import type { World } from '../world/world.ts';

/** First key of the locks, and the second is of the holder. */
const LOCK = 7_700_005;
/** Of whoever has no limits of its own. */
export const EVERYBODY = '';

export type QuotaLimits = Readonly<Partial<Record<QuotaName, number>>>;
type Store = Pick<Kysely<Schema>, 'selectFrom'>;

/** With whom it counts: teams and service accounts with their organisation, so that dividing up gains nothing. */
export function quotaHolder({ people }: Pick<World, 'people'>, principal: PrincipalId): PrincipalId {
  if (principal.startsWith('team:')) return organisationOf(principal);
  return people.accounts.get(principal)?.organisation ?? principal;
}

export interface Wanted {
  readonly world: World;
  readonly actor: Actor;
  /** To whom it would belong. */
  readonly owner: PrincipalId;
  /** What would be added. */
  readonly adds: QuotaLimits;
  readonly nowMs: number;
}

/** Throws policy.quota_exceeded where the owner would have more than it may. Call it before the rows are written. */
export async function requireRoom(tx: Kysely<Schema>, { world, actor, owner, adds, nowMs }: Wanted): Promise<void> {
  const added = QUOTA_NAMES.filter((name) => (adds[name] ?? 0) > 0);
  if (added.length === 0) return;
  const holder = quotaHolder(world, owner);
  await sql`select pg_advisory_xact_lock(${LOCK}::int, hashtext(${holder}))`.execute(tx);
  const { limits } = await limitsOf(tx, holder);
  for (const name of added) {
    const used = await COUNTS[name](tx, holder, nowMs);
    const adding = adds[name] ?? 0;
    if (used + adding > limits[name])
      throw exceeded(
        { name, holder, used, limit: limits[name], adding },
        mayForPrincipal(world, actor, holder, 'quota.read'),
      );
  }
}

/** Numbers are for who may read them: whoever works for the owner need not. */
function exceeded(
  about: {
    readonly name: QuotaName;
    readonly holder: PrincipalId;
    readonly used: number;
    readonly limit: number;
    readonly adding: number;
  },
  mayRead: boolean,
): AppError {
  const { name, holder, used, limit, adding } = about;
  const what = WORDS[name];
  const raise = `The network's admin can raise it: \`subcloud quota set ${holder} ${name}=N\`.`;
  if (!mayRead)
    return new AppError('policy.quota_exceeded', {
      message: `${holder} may have no more ${what}. ${raise}`,
      details: { quota: name, principal: holder },
    });
  return new AppError('policy.quota_exceeded', {
    message: `${holder} has ${used} of ${limit} ${what}, and this would add ${adding}. ${raise}`,
    details: { quota: name, principal: holder, used, limit, adds: adding },
  });
}

const WORDS: Readonly<Record<QuotaName, string>> = {
  subclouds: 'Subclouds',
  domains: 'domains',
  tokens: 'tokens',
  celSteps: 'steps of `where` expressions',
  organisations: 'organisations',
};

/** `own`: those that are of the holder itself. */
export async function limitsOf(
  db: Store,
  holder: string,
): Promise<{ readonly limits: QuotaAmounts; readonly own: readonly QuotaName[] }> {
  const rows = await db
    .selectFrom('quotas')
    .select(['holder', 'limits'])
    .where('holder', 'in', [EVERYBODY, holder])
    .execute();
  const of = (name: string): QuotaLimits => (rows.find((row) => row.holder === name)?.limits ?? {}) as QuotaLimits;
  const own = of(holder);
  return {
    limits: { ...QUOTA_DEFAULTS, ...of(EVERYBODY), ...own },
    own: QUOTA_NAMES.filter((name) => own[name] !== undefined),
  };
}

export async function usedBy(db: Store, holder: PrincipalId, nowMs: number): Promise<QuotaAmounts> {
  const used = await Promise.all(
    QUOTA_NAMES.map(async (name) => [name, await COUNTS[name](db, holder, nowMs)] as const),
  );
  return Object.fromEntries(used) as unknown as QuotaAmounts;
}

/** Steps that a revision takes for each node at most. */
export function stepsOf(manifest: Pick<SubcloudManifest, 'spec'> | null): number {
  return stepsOfText(manifest?.spec.nodes?.where);
}

function stepsOfText(text: string | null | undefined): number {
  if (text === undefined || text === null) return 0;
  const compiled = compileCel(text, NODE_VARIABLES);
  return compiled.ok ? compiled.expression.steps : 0;
}

type Count = (db: Store, holder: PrincipalId, nowMs: number) => Promise<number>;

/** Whether a column names the holder, or who counts with it. */
const counts = (column: string, holder: PrincipalId) => {
  const owner = sql.ref(column);
  if (!holder.startsWith('org:')) return sql<boolean>`${owner} = ${holder}`;
  const teams = `team:${holder.slice('org:'.length)}/`;
  return sql<boolean>`(${owner} = ${holder} or starts_with(${owner}, ${teams})
    or ${owner} in (select principal from accounts where organisation = ${holder}))`;
};

const COUNTS: Readonly<Record<QuotaName, Count>> = {
  async subclouds(db, holder) {
    const { count } = await db
      .selectFrom('subclouds')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('deleted_at', 'is', null)
      .where(counts('owner', holder))
      .executeTakeFirstOrThrow();
    return count;
  },
  async domains(db, holder) {
    const { count } = await db
      .selectFrom('domains')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('deleted_at', 'is', null)
      .where(counts('owner', holder))
      .executeTakeFirstOrThrow();
    return count;
  },
  async tokens(db, holder, nowMs) {
    const { count } = await db
      .selectFrom('subcloud_tokens')
      .innerJoin('subclouds', 'subclouds.id', 'subcloud_tokens.subcloud_id')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('subclouds.deleted_at', 'is', null)
      .where(counts('subclouds.owner', holder))
      .where('revoked_at', 'is', null)
      .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', nowMs)]))
      .executeTakeFirstOrThrow();
    return count;
  },
  async celSteps(db, holder) {
    const rows = await db
      .selectFrom('subclouds')
      .innerJoin('revisions', (join) =>
        join.onRef('revisions.subcloud_id', '=', 'subclouds.id').onRef('revisions.number', '=', 'subclouds.revision'),
      )
      .select(sql<string | null>`revisions.manifest #>> '{spec,nodes,where}'`.as('text'))
      .where('deleted_at', 'is', null)
      .where(counts('subclouds.owner', holder))
      .execute();
    return rows.reduce((sum, { text }) => sum + stepsOfText(text), 0);
  },
  async organisations(db, holder) {
    const { count } = await db
      .selectFrom('organisations')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('created_by', '=', holder)
      .executeTakeFirstOrThrow();
    return count;
  },
};

/** Live tokens of one Subcloud: what they count where it goes. */
export async function liveTokens(db: Store, subcloud: string, nowMs: number): Promise<number> {
  const { count } = await db
    .selectFrom('subcloud_tokens')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('subcloud_id', '=', subcloud)
    .where('revoked_at', 'is', null)
    .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', nowMs)]))
    .executeTakeFirstOrThrow();
  return count;
}

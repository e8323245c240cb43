import { AppError } from '@subcloud/contract/errors';
import { QUOTA_NAMES, type Quota } from '@subcloud/contract/routes/quotas';
import type { PrincipalId } from '@subcloud/policy/principal';
import { actorName } from '../../access/actor.ts';
import { requirePrincipal } from '../../access/authorise.ts';
import { EVERYBODY, type QuotaLimits, limitsOf, quotaHolder, usedBy } from '../../quotas/quotas.ts';
import { insertEvents } from '../../store/events.ts';
import type { ApiContext, Handlers } from '../context.ts';
import { requireKnown } from './principals.ts';

export const quotaHandlers: Pick<Handlers, 'getQuota' | 'setQuota'> = {
  getQuota(context, { query }, actor) {
    const { world } = context.loop;
    const asked = query.principal ?? (actor.kind === 'principal' ? actor.principal : null);
    requirePrincipal(world, actor, asked, 'read the quota');
    // A team's is its organisation's, and what that has is for who may read the organisation's.
    const holder = asked === null ? null : quotaHolder(world, asked);
    if (holder !== asked) requirePrincipal(world, actor, holder, 'read the quota');
    return quotaOf(context, holder);
  },

  async setQuota(context, { body }, actor) {
    const { loop, clock, db } = context;
    const { principal = null } = body;
    requirePrincipal(loop.world, actor, null, 'set a quota');
    const holder = principal === null ? null : quotaHolder(loop.world, principal);
    if (principal !== null && holder !== principal)
      throw new AppError('client.invalid_request', {
        message: `What ${principal} has counts with ${holder ?? ''}: set the quota of that.`,
        param: 'principal',
      });
    const key = holder ?? EVERYBODY;
    await loop.change(async (tx) => {
      if (holder !== null) await requireKnown(tx, holder);
      const row = await tx.selectFrom('quotas').select('limits').where('holder', '=', key).executeTakeFirst();
      const before = (row?.limits ?? {}) as QuotaLimits;
      const after = Object.fromEntries(
        QUOTA_NAMES.flatMap((name) => {
          const limit = body.limits[name] === undefined ? before[name] : body.limits[name];
          return limit === undefined || limit === null ? [] : [[name, limit]];
        }),
      );
      const limits = JSON.stringify(after);
      await tx
        .insertInto('quotas')
        .values({ holder: key, limits })
        .onConflict((conflict) => conflict.column('holder').doUpdateSet({ limits }))
        .execute();
      const event = { kind: 'quota.changed', node: null, subcloud: null, principal: holder } as const;
      await insertEvents(
        tx,
        [{ ...event, actor: actorName(actor), reason: 'by request', detail: after }],
        clock.nowMs(),
      );
      return {
        audit: { subject: `quota:${holder ?? 'everybody'}`, before: { ...before }, after },
        result: undefined,
        touched: [],
        apply: () => undefined,
      };
    });
    return quotaOf({ db, clock }, holder);
  },
};

async function quotaOf({ db, clock }: Pick<ApiContext, 'db' | 'clock'>, holder: PrincipalId | null): Promise<Quota> {
  const { limits, own } = await limitsOf(db, holder ?? EVERYBODY);
  const used = holder === null ? null : await usedBy(db, holder, clock.nowMs());
  return { principal: holder, limits, used, own: [...own] };
}

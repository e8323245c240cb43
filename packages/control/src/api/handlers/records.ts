import { AppError } from '@subcloud/contract/errors';
import { decisionRecord } from '@subcloud/contract/watch';
import { readReceipt } from '../../receipts/read-receipt.ts';
import { callersRequest, fullRequest, poolOf, seesNodes } from '../explain-request.ts';
import { listUsage } from './usage.ts';
import type { Handlers } from '../context.ts';
import { may } from '../../access/authorise.ts';
import type { PrincipalId } from '@subcloud/policy/principal';

export const recordHandlers: Pick<Handlers, 'getRequest' | 'getReceipt' | 'listUsage'> = {
  async getRequest(context, { params }, actor) {
    const { db, loop } = context;
    const row = await db
      .selectFrom('decisions')
      .select(['principal', 'record'])
      .where('request_id', '=', params.id)
      .executeTakeFirst();
    const record = row === undefined ? undefined : decisionRecord.parse(row.record);
    if (record !== undefined && seesNodes(loop.world, actor, poolOf(loop.world, record)))
      return fullRequest(context, record);
    const caller = (row?.principal ?? null) as PrincipalId | null;
    if (record !== undefined && may(loop.world, actor, { kind: 'request', caller, pool: poolOf(loop.world, record) }))
      return callersRequest(context, record);
    throw new AppError('client.not_found', {
      message: `There is no request ${params.id}, or this credential may not know of it.`,
    });
  },

  async getReceipt({ db, loop }, { params }, actor) {
    const { world } = loop;
    const stored = await readReceipt(db, world.networkId, params.id);
    if (stored !== undefined) {
      const pool = poolOf(world, stored);
      const caller = stored.principal as PrincipalId;
      if (seesNodes(world, actor, pool) || may(world, actor, { kind: 'request', caller, pool })) return stored.receipt;
    }
    throw new AppError('client.not_found', {
      message: `There is no receipt of ${params.id}, or this credential may not know of it. A receipt is there some seconds after the answer, for 30 days.`,
    });
  },

  listUsage,
};

import { AppError } from '@subcloud/contract/errors';
import { decisionRecord } from '@subcloud/contract/watch';
import { sql } from 'kysely';
import { type Handlers, iso } from '../context.ts';
import { knownSubcloud } from '../../access/authorise.ts';

export const recordHandlers: Pick<Handlers, 'getRequest' | 'listUsage' | 'listEvents'> = {
  async getRequest({ db, loop }, { params }, actor) {
    const row = await db
      .selectFrom('decisions')
      .select(['principal', 'pool', 'record'])
      .where('request_id', '=', params.id)
      .executeTakeFirst();
    const own =
      row !== undefined &&
      (actor.kind === 'admin' || (actor.kind === 'principal' && row.principal === actor.principal));
    if (!own)
      throw new AppError('client.not_found', {
        message: `There is no request ${params.id}, or this credential may not know of it.`,
      });
    const record = decisionRecord.parse(row.record);
    if (actor.kind === 'admin') return record;
    // A caller sees its own request, with counts: which nodes were tried is the pool owner's to know.
    const owner = loop.world.subclouds.get(loop.world.subcloudByName.get(row.pool ?? '') ?? '')?.owner;
    if (actor.kind === 'principal' && owner === actor.principal) return record;
    return { ...record, notTaken: total(record.notTaken), attempts: [] };
  },

  async listUsage({ db }, { query }, actor) {
    let select = db
      .selectFrom('usage')
      .select((eb) => [
        'principal',
        'pool',
        'model',
        eb.fn.countAll<number>().as('requests'),
        sql<number>`sum(prompt_tokens)::bigint`.as('prompt_tokens'),
        sql<number>`sum(completion_tokens)::bigint`.as('completion_tokens'),
        sql<number>`count(*) filter (where estimated)`.as('estimated'),
      ])
      .groupBy(['principal', 'pool', 'model'])
      .orderBy('principal')
      .orderBy('pool')
      .orderBy('model');
    if (query.since !== undefined) select = select.where('at', '>=', Date.parse(query.since));
    if (query.until !== undefined) select = select.where('at', '<', Date.parse(query.until));
    if (actor.kind === 'principal') select = select.where('principal', '=', actor.principal);
    const rows = await select.execute();
    return {
      items: rows.map((row) => ({
        principal: row.principal,
        pool: row.pool,
        model: row.model,
        requests: row.requests,
        promptTokens: row.prompt_tokens,
        completionTokens: row.completion_tokens,
        estimated: row.estimated,
      })),
    };
  },

  async listEvents({ db, loop }, { query }, actor) {
    const before = query.cursor === undefined ? undefined : Number(query.cursor);
    if (before !== undefined && !Number.isSafeInteger(before))
      throw new AppError('client.invalid_request', { param: 'cursor' });
    let select = db
      .selectFrom('events')
      .select(['id', 'at', 'kind', 'node_id', 'subcloud_id', 'actor', 'reason', 'detail'])
      .orderBy('id', 'desc')
      .limit(query.limit);
    if (before !== undefined) select = select.where('id', '<', before);
    if (query.node !== undefined) select = select.where('node_id', '=', query.node);
    if (query.subcloud !== undefined)
      select = select.where('subcloud_id', '=', knownSubcloud(actor, loop.world, query.subcloud).id);
    const rows = await select.execute();
    return {
      items: rows.map((row) => ({
        id: String(row.id),
        at: iso(row.at),
        kind: row.kind,
        node: row.node_id,
        subcloud: loop.world.subclouds.get(row.subcloud_id ?? '')?.name ?? row.subcloud_id,
        actor: row.actor,
        reason: row.reason,
        detail: row.detail,
      })),
      next: rows.length === query.limit ? String(rows.at(-1)?.id ?? '') : null,
    };
  },
};

function total(notTaken: Readonly<Record<string, number>>): Record<string, number> {
  const count = Object.values(notTaken).reduce((sum, n) => sum + n, 0);
  return count === 0 ? {} : { 'not eligible': count };
}

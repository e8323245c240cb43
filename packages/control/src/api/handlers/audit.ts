import { auditEntry } from '@subcloud/contract/audit';
import { AppError } from '@subcloud/contract/errors';
import type { auditRoutes } from '@subcloud/contract/routes/audit';
import { sealRecord } from '@subcloud/contract/routes/audit';
import { type Handlers, iso } from '../context.ts';

/** Bytes of entries in one answer of `readAudit`. */
const MAX_ANSWER_BYTES = 4_194_304;
/** Rows read at a time for it: with the largest entries they stay below 16 MiB. */
const ROWS = 200;

export const auditHandlers: Pick<Handlers, keyof typeof auditRoutes> = {
  async listAudit({ db }, { query }) {
    const before = query.cursor === undefined ? undefined : Number(query.cursor);
    if (before !== undefined && !Number.isSafeInteger(before))
      throw new AppError('client.invalid_request', { param: 'cursor' });
    let select = db.selectFrom('audit').select(['sequence', 'entry']).orderBy('sequence', 'desc').limit(query.limit);
    if (before !== undefined) select = select.where('sequence', '<', before);
    if (query.actor !== undefined) select = select.where('actor', '=', query.actor);
    if (query.action !== undefined) select = select.where('action', '=', query.action);
    if (query.subject !== undefined) select = select.where('subject', '=', query.subject);
    if (query.request !== undefined) select = select.where('request_id', '=', query.request);
    if (query.since !== undefined) select = select.where('at', '>=', Date.parse(query.since));
    if (query.until !== undefined) select = select.where('at', '<', Date.parse(query.until));
    const rows = await select.execute();
    return {
      items: rows.map(({ sequence, entry }) => {
        const { version: _, at, ...shown } = auditEntry.parse(JSON.parse(entry));
        return { sequence, at: iso(at), ...shown };
      }),
      next: rows.length === query.limit ? String(rows.at(-1)?.sequence ?? '') : null,
    };
  },

  async getAuditHead({ db, loop, authority, sealer }) {
    const newest = await db
      .selectFrom('audit')
      .select('sequence')
      .orderBy('sequence', 'desc')
      .limit(1)
      .executeTakeFirst();
    return {
      networkId: loop.world.networkId,
      networkKey: authority.networkKey,
      sequence: newest?.sequence ?? 0,
      anchor: sealer.anchor(),
      broken: sealer.broken(),
    };
  },

  async readAudit({ db }, { query }) {
    const limit = Math.min(query.limit, ROWS);
    const rows = await db
      .selectFrom('audit')
      .select(['sequence', 'hash', 'entry'])
      .where('sequence', '>', query.after)
      .orderBy('sequence')
      .limit(limit)
      .execute();
    let bytes = 0;
    const items = rows.filter(({ entry }, index) => (bytes += entry.length) <= MAX_ANSWER_BYTES || index === 0);
    const last = items.at(-1)?.sequence;
    const isEnd = items.length === rows.length && rows.length < limit;
    let seals = db
      .selectFrom('audit_seals')
      .select(['document', 'certificate'])
      .where('sequence', '>', query.after)
      .orderBy('sequence');
    // At the end also those that speak of what is gone.
    if (last !== undefined && !isEnd) seals = seals.where('sequence', '<=', last);
    return {
      items,
      seals: (await seals.limit(limit + 1).execute()).map((seal) => sealRecord.parse(seal)),
      next: isEnd || last === undefined ? null : last,
    };
  },
};

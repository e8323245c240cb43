/** Usage, with the receipts made from it, and decision records as gateways send them. Idempotent by (gateway, sequence): a batch may come twice. */
import type { DecisionsRequest, UsageRequest, UsageResponse } from '@subcloud/contract/watch';
import { type ReceiptContext, storeRoutingHalves } from '../receipts/routing-halves.ts';
import type { Database } from './database.ts';

/** Rows in one statement: 15 parameters each, well below PostgreSQL's 65,535. */
const BATCH = 1_000;

/** Without `receipts` none are made. */
export async function storeUsage(
  db: Database,
  request: UsageRequest,
  receipts?: ReceiptContext,
): Promise<UsageResponse> {
  const { gateway, records: given } = request;
  await db.transaction().execute(async (tx) => {
    const rolled = await tx
      .selectFrom('usage_rolled')
      .select('sequence')
      .where('gateway', '=', gateway)
      .executeTakeFirst();
    // What came before and is summed by day already.
    const records = given.filter(({ sequence }) => sequence > (rolled?.sequence ?? 0));
    for (let start = 0; start < records.length; start += BATCH) {
      await tx
        .insertInto('usage')
        .values(
          records.slice(start, start + BATCH).map((record) => ({
            gateway,
            sequence: record.sequence,
            request_id: record.requestId,
            at: record.atMs,
            principal: record.principal,
            credential: record.credential,
            pool: record.pool,
            model: record.model,
            node_id: record.node,
            continued_from: record.continuedFrom ?? null,
            prompt_tokens: record.promptTokens,
            completion_tokens: record.completionTokens,
            estimated: record.estimated,
            status: record.status,
            duration_ms: record.durationMs,
          })),
        )
        .onConflict((conflict) => conflict.columns(['gateway', 'sequence']).doNothing())
        .execute();
    }
    if (receipts !== undefined) await storeRoutingHalves(receipts, tx, request);
  });
  return { acknowledged: Math.max(...given.map(({ sequence }) => sequence)) };
}

export async function storeDecisions(db: Database, { records }: DecisionsRequest): Promise<void> {
  for (let start = 0; start < records.length; start += BATCH) {
    await db
      .insertInto('decisions')
      .values(
        records.slice(start, start + BATCH).map((record) => ({
          request_id: record.requestId,
          at: record.atMs,
          principal: record.principal,
          pool: record.pool,
          record: JSON.stringify(record),
        })),
      )
      .onConflict((conflict) => conflict.column('request_id').doNothing())
      .execute();
  }
}

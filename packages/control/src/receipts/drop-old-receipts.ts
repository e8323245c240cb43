import { RECEIPTS_KEPT_MS } from '@subcloud/contract/receipts';
import { sql } from 'kysely';
import type { Database } from '../store/database.ts';

const DAY_MS = 86_400_000;

/** Halves past their keeping; then the batches and certificates that no half needs any more. */
export async function dropOldReceipts(db: Database, nowMs: number): Promise<void> {
  const before = nowMs - RECEIPTS_KEPT_MS;
  await db.deleteFrom('receipt_halves').where('at', '<', before).execute();
  // A half is stored some time after its request, and a certificate's time is written once a day.
  await sql`delete from receipt_batches where at < ${before - DAY_MS}
    and not exists (select 1 from receipt_halves where receipt_halves.batch = receipt_batches.hash)`.execute(db);
  await sql`delete from receipt_certificates where at < ${before - 2 * DAY_MS}
    and not exists (select 1 from receipt_batches where receipt_batches.certificate = receipt_certificates.hash)`.execute(
    db,
  );
}

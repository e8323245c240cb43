/** A receipt as it is given to those who may have it. */
import { signedDocument } from '@subcloud/contract/documents';
import type { Receipt, ReceiptHalf } from '@subcloud/contract/receipts';
import * as z from 'zod';
import type { Database } from '../store/database.ts';

export interface StoredReceipt {
  readonly receipt: Receipt;
  readonly principal: string;
  readonly pool: string;
  readonly atMs: number;
}

/** Undefined where there is no routing half: the request never was, is too old, or is not counted yet. */
export async function readReceipt(
  db: Pick<Database, 'selectFrom'>,
  networkId: string,
  requestId: string,
): Promise<StoredReceipt | undefined> {
  const rows = await db
    .selectFrom('receipt_halves')
    .innerJoin('receipt_batches', 'receipt_batches.hash', 'receipt_halves.batch')
    .innerJoin('receipt_certificates', 'receipt_certificates.hash', 'receipt_batches.certificate')
    .select(['side', 'receipt_halves.at', 'principal', 'pool', 'leaf', 'index', 'path', 'document'])
    .select(['node_id', 'earlier'])
    .select(['receipt_certificates.certificate', 'signing_key', 'network_key'])
    .where('request_id', '=', requestId)
    .execute();
  const known = rows.find(({ side }) => side === 'routing');
  if (known === undefined) return undefined;
  const halfOf = (row: (typeof rows)[number]): ReceiptHalf => {
    return {
      leaf: row.leaf,
      index: row.index,
      path: z.array(z.string()).parse(row.path),
      batch: signedDocument.parse(JSON.parse(row.document)),
      certificate: signedDocument.parse(JSON.parse(row.certificate)),
      signingKey: signedDocument.parse(JSON.parse(row.signing_key)),
      networkKey: row.network_key,
    };
  };
  const servedBy = (node: string) => rows.find((row) => row.side === 'serving' && row.node_id === node);
  const serving = servedBy(known.node_id);
  const earlier = z
    .array(z.string())
    .parse(known.earlier)
    .flatMap((node) => servedBy(node) ?? []);
  const receipt = {
    requestId,
    networkId,
    routing: halfOf(known),
    serving: serving === undefined ? null : halfOf(serving),
    ...(earlier.length === 0 ? {} : { earlier: earlier.map(halfOf) }),
  };
  return { receipt, principal: known.principal, pool: known.pool, atMs: known.at };
}

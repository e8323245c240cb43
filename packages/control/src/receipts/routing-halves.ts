/**
 * The gateway's halves of receipts, stored with the usage that they are made from. They travel as a signed root alone:
 * the leaves follow from the records. A signature that does not hold costs the receipts, never the usage.
 */
import { type RoutingBatch, routingLeaf } from '@subcloud/contract/receipts';
import type { UsageRecord, UsageRequest } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { treePaths, treeRoot } from '@subcloud/kit/receipt-tree';
import { openChain, openDocument, openSignedByChain } from '@subcloud/kit/signing';
import type { Authority } from '../authority.ts';
import type { Transaction } from '../loop.ts';
import { type VouchedBatch, saveBatch, signingKeyOf } from './vouched.ts';

/** Rows in one statement: 11 parameters each. */
const BATCH = 1_000;

export interface ReceiptContext {
  readonly authority: Authority;
  readonly clock: Clock;
  readonly log: Log;
}

export async function storeRoutingHalves(context: ReceiptContext, tx: Transaction, usage: UsageRequest): Promise<void> {
  if (usage.receipts === undefined) return;
  const signed = usage.records.flatMap((record) => {
    const leaf = routingLeaf(record);
    return leaf === undefined ? [] : [{ record, leaf }];
  });
  const leaves = signed.map(({ leaf }) => leaf);
  const batch = vouched(context, usage.gateway, usage.receipts, leaves);
  if (batch === undefined) return;
  const nowMs = context.clock.nowMs();
  const hash = await saveBatch(tx, batch, nowMs);
  const paths = treePaths(leaves);
  const rows = signed.map(({ record, leaf }, index) => rowOf(record, { leaf, index, path: paths[index] ?? [], hash }));
  for (let start = 0; start < rows.length; start += BATCH) {
    await tx
      .insertInto('receipt_halves')
      .values(rows.slice(start, start + BATCH))
      // The first of a request stays, whoever sends another.
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

function rowOf(
  record: UsageRecord,
  at: { readonly leaf: string; readonly index: number; readonly path: readonly string[]; readonly hash: string },
) {
  return {
    request_id: record.requestId,
    side: 'routing' as const,
    at: record.atMs,
    principal: record.principal,
    node_id: record.node,
    pool: record.pool,
    batch: at.hash,
    index: at.index,
    leaf: at.leaf,
    path: JSON.stringify(at.path),
    earlier: JSON.stringify(record.continuedFrom ?? []),
  };
}

/** Undefined, and said, for a signature that is not the gateway's over just these leaves. */
function vouched(
  { authority, clock, log }: ReceiptContext,
  gateway: string,
  { document, certificate }: RoutingBatch,
  leaves: readonly string[],
): VouchedBatch | undefined {
  try {
    const nowMs = clock.nowMs();
    const signers = openChain(authority.chain(), authority.fingerprint, nowMs);
    const { gatewayId, publicKey } = openSignedByChain(certificate, 'gateway', signers, nowMs);
    if (gatewayId !== gateway) throw new Error('the certificate is of another gateway');
    const { root, count } = openDocument(document, 'receipt-batch', publicKey);
    if (count !== leaves.length || root !== treeRoot(leaves)) throw new Error('other records were signed');
    const signingKey = signingKeyOf(authority, certificate);
    if (signingKey === undefined) throw new Error('its signing key is in force no more');
    return { document, certificate, signingKey, networkKey: authority.networkKey };
  } catch (error) {
    log.warn(
      { gateway, why: error instanceof Error ? error.message : String(error) },
      'receipts of a gateway were refused',
    );
    return undefined;
  }
}

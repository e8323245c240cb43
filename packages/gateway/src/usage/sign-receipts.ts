/** The gateway's signature over the routing halves of usage records, made when they are sent and not when they are served. */
import type { SignedDocument } from '@subcloud/contract/documents';
import { type RoutingBatch, routingLeaf } from '@subcloud/contract/receipts';
import type { UsageRecord } from '@subcloud/contract/watch';
import { treeRoot } from '@subcloud/kit/receipt-tree';
import { type SigningKey, signDocument } from '@subcloud/kit/signing';

export interface ReceiptSigner {
  readonly key: SigningKey;
  /** The gateway's certificate of this moment; undefined while it has none. */
  readonly certificate: () => SignedDocument | undefined;
  readonly networkId: () => string | undefined;
  readonly nowMs: () => number;
}

/** `records` as JSON, in the order in which they are sent. Undefined where there is nothing to sign, or nobody to sign as. */
export function signReceipts(signer: ReceiptSigner, records: readonly string[]): RoutingBatch | undefined {
  const [certificate, networkId] = [signer.certificate(), signer.networkId()];
  if (certificate === undefined || networkId === undefined) return undefined;
  const leaves = records.flatMap((text) => routingLeaf(JSON.parse(text) as UsageRecord) ?? []);
  if (leaves.length === 0) return undefined;
  const body = { version: 1, networkId, count: leaves.length, root: treeRoot(leaves) } as const;
  const issuedAt = Math.max(0, Math.trunc(signer.nowMs()));
  return { document: signDocument(signer.key, 'receipt-batch', { ...body, issuedAt }), certificate };
}

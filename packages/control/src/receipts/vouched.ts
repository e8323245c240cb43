/** A signed batch with the certificates that lead from it to the network, as they are stored. */
import { hash } from 'node:crypto';
import type { SignedDocument } from '@subcloud/contract/documents';
import { fingerprintOf, openDocument } from '@subcloud/kit/signing';
import type { Authority } from '../authority.ts';
import type { Transaction } from '../loop.ts';

export interface VouchedBatch {
  readonly document: SignedDocument;
  /** Of the key that signed it. */
  readonly certificate: SignedDocument;
  /** Of the key that signed the certificate. */
  readonly signingKey: SignedDocument;
  readonly networkKey: string;
}

/** The certificate of the signing key that signed `certificate`; undefined where that key is in force no more. */
export function signingKeyOf(authority: Authority, certificate: SignedDocument): SignedDocument | undefined {
  const { networkKey, signingKeys } = authority.chain();
  return signingKeys.find(
    (document) => fingerprintOf(openDocument(document, 'signing-key', networkKey).publicKey) === certificate.signer,
  );
}

/** Stores what is not there yet, and answers by which hash halves refer to the batch. */
export async function saveBatch(tx: Transaction, batch: VouchedBatch, nowMs: number): Promise<string> {
  const [certificate, document] = [JSON.stringify(batch.certificate), JSON.stringify(batch.document)];
  const [certificateHash, batchHash] = [hash('sha256', certificate), hash('sha256', document)];
  const signing = { signing_key: JSON.stringify(batch.signingKey), network_key: batch.networkKey };
  await tx
    .insertInto('receipt_certificates')
    .values({ hash: certificateHash, certificate, ...signing, at: nowMs })
    .onConflict((conflict) =>
      // Kept for as long as there is a batch that needs it; written at most once a day for each.
      conflict
        .column('hash')
        .doUpdateSet({ at: nowMs })
        .where('receipt_certificates.at', '<', nowMs - 86_400_000),
    )
    .execute();
  await tx
    .insertInto('receipt_batches')
    .values({ hash: batchHash, document, certificate: certificateHash, at: nowMs })
    .onConflict((conflict) => conflict.column('hash').doNothing())
    .execute();
  return batchHash;
}

/** What a gateway itself hashes for receipts, and with what: random bytes, many drawn at once since each draw is a call into the kernel. */
import { createHash, randomFillSync } from 'node:crypto';
import { RECEIPT_SALT_BYTES, type ReceiptFields } from '@subcloud/contract/receipts';
import { LARGE_BODY_BYTES } from './scan-body.ts';

const pool = Buffer.alloc(RECEIPT_SALT_BYTES * 256);
let used = pool.byteLength;

/** Hex; never the same twice, and kept nowhere. */
export function newSalt(): string {
  if (used === pool.byteLength) {
    randomFillSync(pool);
    used = 0;
  }
  const salt = pool.toString('hex', used, used + RECEIPT_SALT_BYTES);
  pool.fill(0, used, used + RECEIPT_SALT_BYTES);
  used += RECEIPT_SALT_BYTES;
  return salt;
}

/** What came from the caller, where the node was sent something else; a large body would hold up everybody else. */
export function receivedBody(received: Buffer, sent: readonly Buffer[], salt: string): ReceiptFields['request'] {
  if (sent.length === 1 && sent[0] === received) return 'same';
  if (received.byteLength > LARGE_BODY_BYTES) return 'changed';
  return createHash('sha256').update(salt, 'hex').update(received).digest('hex');
}

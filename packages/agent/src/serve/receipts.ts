/**
 * The node's halves of receipts. While an answer passes, request and answer are hashed with the salt that came with the
 * request; the salt is forgotten with them. What was sent becomes a leaf, also where it broke off; leaves are signed as batches, a pool at a time,
 * with a key that is this node's in that pool alone. What no gateway can be told of is dropped, oldest first: a receipt
 * then has one half, and says so.
 */
import { createHash } from 'node:crypto';
import { type ServingBatch, type ServingHalf, endorsementText } from '@subcloud/contract/receipts';
import type { Clock, Timer } from '@subcloud/kit/clock';
import { treeRoot } from '@subcloud/kit/receipt-tree';
import { type SigningKey, deriveSigningKey, signDocument, signText } from '@subcloud/kit/signing';
import type { RequestHead } from './request-head.ts';

/** So long a half may wait for others to be signed with. */
const BATCH_MS = 1_000;
/** Halves in one batch: even the longest are one line of a report. */
const MAX_LEAVES = 512;
/** Leaves that wait, over all pools; at about 500 bytes each. */
const MAX_WAITING = 16_384;

export interface ReceiptMeter {
  /** The next bytes of the request. */
  received(bytes: Uint8Array): void;
  /** The next bytes of the answer, as they go out. */
  sent(bytes: Uint8Array): void;
  /** All of it is out. */
  whole(status: number): void;
  /** No more of it goes out. Where nothing did, there is nothing to sign. */
  broken(status: number): void;
}

/** A link, or all of them. */
export interface ReceiptSink {
  /** False where nobody there takes receipts now. */
  sendReceipts(batch: ServingBatch): boolean;
}

export interface Receipts {
  /** Undefined for a request that came without a salt: its gateway keeps no receipts. */
  meter(link: ReceiptSink, head: RequestHead, digest: string | null): ReceiptMeter | undefined;
  /** Signs and sends what waits. */
  flush(): void;
  stop(): void;
}

export interface ReceiptsOptions {
  readonly clock: Clock;
  readonly key: SigningKey;
  readonly networkId: string;
  readonly nodeId: string;
  readonly nowMs: () => number;
  /** Where the link that a request came by is gone. */
  readonly elsewhere: ReceiptSink;
}

export function createReceipts(options: ReceiptsOptions): Receipts {
  const { clock } = options;
  const keys = new Map<string, PoolKey>();
  /** A half is wanted by the gateway that counted the answer: others cannot say when control knows of it. */
  let waiting: Waiting[] = [];
  let timer: Timer | undefined;

  const flush = (): void => {
    timer?.cancel();
    timer = undefined;
    const left: typeof waiting = [];
    for (const [pool, ofPool] of Map.groupBy(waiting, (one) => one.pool)) {
      for (const [link, entries] of Map.groupBy(ofPool, (one) => one.link)) {
        while (entries.length > 0) {
          const some = entries.splice(0, MAX_LEAVES);
          const batch = batchOf(
            options,
            keyOf(pool),
            pool,
            some.map(({ leaf }) => leaf),
          );
          if (!link.sendReceipts(batch) && !options.elsewhere.sendReceipts(batch)) left.push(...some);
        }
      }
    }
    waiting = left;
    if (waiting.length > 0) timer = clock.after(BATCH_MS, flush);
  };

  const keyOf = (pool: string): PoolKey => {
    const known = keys.get(pool) ?? poolKey(options, pool);
    keys.set(pool, known);
    return known;
  };

  const add = (link: ReceiptSink, half: ServingHalf): void => {
    if (waiting.length >= MAX_WAITING) waiting = waiting.slice(MAX_WAITING / 2);
    waiting.push({ link, pool: half.pool, leaf: JSON.stringify(half) });
    if (waiting.length >= MAX_LEAVES && waiting.length % MAX_LEAVES === 0) flush();
    else timer ??= clock.after(BATCH_MS, flush);
  };

  return {
    meter(link, { salt, requestId, pool, model, tableVersion }, digest) {
      if (salt === undefined) return undefined;
      const secret = Buffer.from(salt, 'hex');
      const request = createHash('sha256').update(secret);
      const answer = createHash('sha256').update(secret);
      let answerBytes = 0;
      const atMs = Math.max(0, Math.trunc(options.nowMs()));
      const startedMs = clock.monotonicMs();
      const sign = (status: number, broken: Pick<ServingHalf, 'broken'>): void => {
        const durationMs = Math.round(clock.monotonicMs() - startedMs);
        const hashes = { request: request.digest('hex'), answer: answer.digest('hex'), answerBytes };
        const what = { requestId, pool, model, digest, tableVersion, ...hashes, ...broken };
        add(link, { version: 1, ...what, status, atMs, durationMs });
      };
      return {
        received: (bytes) => void request.update(bytes),
        sent(bytes) {
          answerBytes += bytes.byteLength;
          answer.update(bytes);
        },
        whole: (status) => sign(status, {}),
        broken(status) {
          if (answerBytes > 0) sign(status, { broken: true });
        },
      };
    },
    flush,
    stop() {
      timer?.cancel();
    },
  };
}

interface Waiting {
  readonly link: ReceiptSink;
  readonly pool: string;
  readonly leaf: string;
}

interface PoolKey {
  readonly key: SigningKey;
  readonly endorsement: string;
}

function poolKey({ key, networkId, nodeId }: ReceiptsOptions, pool: string): PoolKey {
  const derived = deriveSigningKey(key, `subcloud/v1/receipt-key\n${networkId}\n${pool}`);
  return { key: derived, endorsement: signText(key, endorsementText(networkId, nodeId, pool, derived.publicKey)) };
}

function batchOf(
  { networkId, nowMs }: ReceiptsOptions,
  { key, endorsement }: PoolKey,
  pool: string,
  leaves: string[],
): ServingBatch {
  const issuedAt = Math.max(0, Math.trunc(nowMs()));
  const count = leaves.length;
  const document = signDocument(key, 'receipt-batch', {
    version: 1,
    networkId,
    count,
    root: treeRoot(leaves),
    issuedAt,
  });
  return { pool, publicKey: key.publicKey, endorsement, document, leaves };
}

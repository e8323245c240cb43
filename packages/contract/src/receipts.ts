/**
 * Receipts: who served an answer, and why it was sent there, in two halves that different keys sign.
 *
 * The serving half is the node's: what it received and what it sent, as hashes. The routing half is the gateway's: pool,
 * revision, table version, usage and times. Each half is one JSON text, a leaf of a batch; the batch is signed, not the
 * leaf, so a signature costs nothing on the path of a request. A half is shown by its leaf, the hashes beside its way up
 * the tree, and the signed root (RFC 6962, section 2.1: SHA-256, leaves and nodes hashed apart).
 *
 * Hashes of content are salted for each request. The salt goes to the node with the request and to the caller with the
 * answer, and neither node nor network keeps it: without it a hash tells nobody which prompt it was.
 *
 * A node signs what it served in a pool with a key of that pool alone, which control certifies for the node's pseudonym
 * there. So a receipt names the node as the answer did, and receipts of two pools cannot be laid side by side.
 *
 * A stream that went on at another node has a part from each. The gateway names them in order, each with what it received
 * from that node and what of it was text for the caller; every node signs what it sent, also one that broke off.
 *
 * Versions: 1, 2026-11. Since then, before any release: parts, answers that broke off, internal APIs.
 */
import { isApiId } from '@subcloud/policy/internal-api';
import * as z from 'zod';
import { publicKeyText, signedDocument } from './documents.ts';
import type { UsageRecord } from './watch.ts';

export const RECEIPT_SALT_BYTES = 16;
/** On the request to the node and on the answer to the caller: hex. */
export const RECEIPT_SALT_HEADER = 'x-subcloud-receipt-salt';
export const RECEIPT_SALT = /^[0-9a-f]{32}$/;
/** Halves in one signed batch. */
export const MAX_BATCH_LEAVES = 1_024;
export const MAX_LEAF_CHARS = 4_096;
/** Nodes that one answer may have parts of: as many as a request may have tries. */
export const MAX_PARTS = 8;
/** Receipts are kept so long; afterwards neither half can be had from control. */
export const RECEIPTS_KEPT_MS = 30 * 86_400_000;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const timeMs = z.int().nonnegative();

/** What one node had in an answer that several gave. */
const answerPart = z.strictObject({
  /** Pseudonym in this pool. */
  node: z.string().max(32),
  /** SHA-256 of salt and the text that the caller was sent from it (UTF-8), and its length. */
  text: sha256,
  textBytes: z.int().nonnegative(),
  /** SHA-256 of salt and what the gateway received from it, and its length. */
  received: sha256,
  receivedBytes: z.int().nonnegative(),
});
export type AnswerPart = z.infer<typeof answerPart>;

/** Signed by the gateway. */
export const routingHalf = z.strictObject({
  version: z.literal(1),
  requestId: z.string().max(64),
  /** The gateway's clock when the request came. */
  atMs: timeMs,
  pool: z.string().max(63),
  /** Of the pool's manifest, and the hash of the whole policy that was in force with it. */
  revision: z.int().nonnegative(),
  effectiveHash: z.string().max(64),
  /** Of the table that the node was picked by. */
  tableVersion: z.int().nonnegative(),
  /** Network id. */
  model: z.string().max(256),
  /** The node's pseudonym in this pool; of a stream that went on elsewhere, the last. */
  node: z.string().max(32),
  /** Nodes that began the answer and broke off. */
  earlierNodes: z.int().nonnegative(),
  promptTokens: z.int().nonnegative(),
  completionTokens: z.int().nonnegative(),
  /** The engine gave no count. */
  estimated: z.boolean(),
  status: z.int(),
  durationMs: z.number().nonnegative(),
  /** Whether the body was sent on as it came; a hash: it was not, SHA-256 of salt and what came. `changed`: too large to say. */
  request: z.union([sha256, z.enum(['same', 'changed'])]),
  /** SHA-256 of salt and what the caller was sent, for a stream of events; null: it was sent as the node sent it. */
  answer: sha256.nullable(),
  /** The answer had no proper end: its status says why, and nobody says what of it arrived. */
  broken: z.literal(true).optional(),
  /** Of an answer that several nodes gave, in order; `node` is the last. */
  parts: z.array(answerPart).min(2).max(MAX_PARTS).optional(),
});
export type RoutingHalf = z.infer<typeof routingHalf>;

/** Signed by the node. */
export const servingHalf = z.strictObject({
  version: z.literal(1),
  requestId: z.string().max(64),
  pool: z.string().max(63),
  /** Network id. */
  model: z.string().max(256),
  /** Of the weights, where the engine tells it. */
  digest: z.string().max(128).nullable(),
  tableVersion: z.int().nonnegative(),
  /** SHA-256 of salt and body as the node received it; of an internal API, with `callText` before the body. */
  request: sha256,
  /** SHA-256 of salt and body as the node sent it, and its length. */
  answer: sha256,
  answerBytes: z.int().nonnegative().optional(),
  /** It broke off after that, or was told to stop. */
  broken: z.literal(true).optional(),
  status: z.int(),
  /** The node's idea of control's time when the request came. */
  atMs: timeMs,
  durationMs: z.number().nonnegative(),
});
export type ServingHalf = z.infer<typeof servingHalf>;

/** What a usage record holds for the routing half; nothing of it is needed for usage. */
export const receiptFields = z.strictObject({
  node: z.string().max(32),
  revision: z.int().nonnegative(),
  effectiveHash: z.string().max(64),
  tableVersion: z.int().nonnegative(),
  request: z.union([sha256, z.enum(['same', 'changed'])]),
  answer: sha256.nullable(),
  broken: z.literal(true).optional(),
  parts: z.array(answerPart).min(2).max(MAX_PARTS).optional(),
});
export type ReceiptFields = z.infer<typeof receiptFields>;

/**
 * The leaf of a usage record: made by the gateway that signs it and again by control that stores it, so that it travels
 * once. Undefined for a record of before receipts.
 */
export function routingLeaf(record: UsageRecord): string | undefined {
  const { receipt } = record;
  if (receipt === undefined) return undefined;
  return JSON.stringify({
    version: 1,
    requestId: record.requestId,
    atMs: record.atMs,
    pool: record.pool,
    revision: receipt.revision,
    effectiveHash: receipt.effectiveHash,
    tableVersion: receipt.tableVersion,
    model: record.model,
    node: receipt.node,
    earlierNodes: record.continuedFrom?.length ?? 0,
    promptTokens: record.promptTokens,
    completionTokens: record.completionTokens,
    estimated: record.estimated,
    status: record.status,
    durationMs: record.durationMs,
    request: receipt.request,
    answer: receipt.answer,
    ...(receipt.broken === undefined ? {} : { broken: receipt.broken }),
    ...(receipt.parts === undefined ? {} : { parts: receipt.parts.map(inOrder) }),
  } satisfies RoutingHalf);
}

/** Keys in one order, wherever the part comes from. */
function inOrder({ node, text, textBytes, received, receivedBytes }: AnswerPart): AnswerPart {
  return { node, text, textBytes, received, receivedBytes };
}

/** What is hashed before the body of a request to an internal API: the body alone would not say what was asked. */
export function callText(method: string, target: string): string {
  return `${method} ${target}\n`;
}

/** Whether a receipt is of an internal API, and so its request has a `callText`. */
export function isOfApi({ model }: Pick<RoutingHalf, 'model'>): boolean {
  return isApiId(model);
}

/** By which a node vouches for its key of one pool; signed with the node key. */
export function endorsementText(networkId: string, nodeId: string, pool: string, publicKey: string): string {
  return ['subcloud/v1/receipt-endorsement', networkId, nodeId, pool, publicKey].join('\n');
}

/** What an agent sends of one pool: the serving halves of a batch, in the order of the tree. */
export const servingBatch = z.strictObject({
  pool: z.string().max(63),
  publicKey: publicKeyText,
  endorsement: z.string().max(128),
  document: signedDocument,
  leaves: z.array(z.string().max(MAX_LEAF_CHARS)).min(1).max(MAX_BATCH_LEAVES),
});
export type ServingBatch = z.infer<typeof servingBatch>;

/** What a gateway sends with its usage: the signed root over the routing leaves of those records, in their order. */
export const routingBatch = z.strictObject({ document: signedDocument, certificate: signedDocument });
export type RoutingBatch = z.infer<typeof routingBatch>;

/** One half as it can be checked without asking anybody. */
export const receiptHalf = z.strictObject({
  leaf: z.string().max(MAX_LEAF_CHARS),
  index: z.int().nonnegative(),
  /** Hashes beside the way up, from the leaf on. */
  path: z.array(sha256).max(16),
  /** The signed root (`receipt-batch`). */
  batch: signedDocument,
  /** Of the key that signed it: `gateway`, or `receipt-key` for a node. */
  certificate: signedDocument,
  /** Of the key that signed the certificate. */
  signingKey: signedDocument,
  /** The network key of that time, raw, base64url. */
  networkKey: publicKeyText,
});
export type ReceiptHalf = z.infer<typeof receiptHalf>;

export const receiptShape = z.strictObject({
  requestId: z.string(),
  networkId: z.string(),
  routing: receiptHalf,
  /** Null: the node has not sent its half: it may be under way, or the node was gone before it could. */
  serving: receiptHalf.nullable(),
  /** Of nodes that had earlier parts of the answer, as far as they signed, in the order of the parts. */
  earlier: z.array(receiptHalf).max(MAX_PARTS).optional(),
});
export type Receipt = z.infer<typeof receiptShape>;

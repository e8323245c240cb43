/**
 * Checks a receipt offline, by nothing but the fingerprint of a network: each half from its leaf to the signed root, from
 * the root to a key, from the key to the network. Keys and certificates count as of the time of the batch, since a receipt
 * outlives them. Then, that all halves speak of one answer, and, where the caller kept them, that request and answer are
 * what was received and sent. Of an answer that several nodes gave, that each signed what the gateway received from it, and
 * that the text is what they said, one after the other.
 */
import { receiptBatch } from '@subcloud/contract/documents';
import {
  RECEIPT_SALT,
  callText,
  isOfApi,
  type Receipt,
  receiptShape,
  type ReceiptHalf,
  type RoutingHalf,
  type ServingHalf,
  routingHalf,
  servingHalf,
} from '@subcloud/contract/receipts';
import { type ContentCheck, type SignedPart, checkParts, faultsOfParts, saltedHash } from './receipt-parts.ts';
import { rootFrom } from './receipt-tree.ts';
import { CLOCK_SLACK_MS, DocumentError, fingerprintOf, openDocument } from './signing.ts';

/** What the caller kept of its request. */
export interface KeptContent {
  /** From the answer's header, hex. */
  readonly salt: string;
  /** The body of the request as the caller sent it; undefined: not kept. */
  readonly request?: Uint8Array | undefined;
  /** The body of the answer as it came. */
  readonly answer?: Uint8Array | undefined;
  /** Of an internal API: `METHOD /path?query`, the path below the API's name. */
  readonly call?: string | undefined;
}

export type { Receipt } from '@subcloud/contract/receipts';
export type { ContentCheck } from './receipt-parts.ts';

export interface ReceiptReport {
  readonly routing: RoutingHalf;
  /** Null: there is no serving half. */
  readonly serving: ServingHalf | null;
  /** Of nodes that had earlier parts, as far as they signed. */
  readonly earlier: readonly ServingHalf[];
  /** Whether the text is what the nodes said one after the other. */
  readonly parts: ContentCheck;
  readonly request: ContentCheck;
  readonly answer: ContentCheck;
  /** What does not hold, for people. Empty: everything that was checked does. */
  readonly faults: readonly string[];
}

/** Undefined for what is no receipt. */
export function receiptFrom(value: unknown): Receipt | undefined {
  return receiptShape.safeParse(value).data;
}

/** What both halves say, not checked. Throws DocumentError where they say it in no known form. */
export function halvesOf({
  routing,
  serving,
  earlier = [],
}: Receipt): Pick<ReceiptReport, 'routing' | 'serving' | 'earlier'> {
  const served = ({ leaf }: ReceiptHalf): ServingHalf => parsed('serving', servingHalf.safeParse(jsonOf(leaf)));
  return {
    routing: parsed('routing', routingHalf.safeParse(jsonOf(routing.leaf))),
    serving: serving === null ? null : served(serving),
    earlier: earlier.map(served),
  };
}

/** Throws DocumentError where a half is not signed by this network; what contradicts itself or the content is a fault. */
export function verifyReceipt(receipt: Receipt, fingerprint: string, kept?: KeptContent): ReceiptReport {
  if (kept !== undefined && !RECEIPT_SALT.test(kept.salt)) throw new DocumentError('the salt is not 32 hex digits');
  const routing = openRouting(receipt, fingerprint);
  const served = receipt.serving === null ? null : openServing(receipt, receipt.serving, fingerprint);
  const earlier = (receipt.earlier ?? []).map((half) => openServing(receipt, half, fingerprint));
  const faults: string[] = [];
  if (routing.requestId !== receipt.requestId) faults.push('the routing half is of another request');
  for (const { half, pool } of served === null ? earlier : [...earlier, served]) {
    if (half.requestId !== routing.requestId) faults.push('the halves are of different requests');
    if (half.pool !== routing.pool || pool !== routing.pool) faults.push('the halves name different pools');
    if (half.model !== routing.model) faults.push('the halves name different models');
  }
  const serving = served?.half ?? null;
  if (served !== null) {
    if (served.half.tableVersion !== routing.tableVersion) faults.push('the halves name different table versions');
    if (served.node !== routing.node) faults.push('another node signed than the gateway says it picked');
    // Of an API's answer alone the gateway relays the node's own end. A stream of events has its end mark, or the gateway
    // ends it once the engine has said that it is finished; a body, its length: what the node's stream did then is nothing.
    if (isOfApi(routing) && served.half.broken === true && routing.broken !== true)
      faults.push('the node broke off an answer that ended well');
  }
  faults.push(...faultsOfParts(routing, earlier, served));
  const received = routing.request === 'same' ? serving?.request : routing.request;
  const request = received === 'changed' ? 'not checked' : compare(kept?.salt, requestOf(routing, kept), received);
  // Of an answer that broke off, nobody says how much of it arrived.
  const sent = routing.broken === true ? undefined : (routing.answer ?? serving?.answer);
  const answer = compare(kept?.salt, kept?.answer, sent);
  const parts = checkParts(routing, kept);
  if (request === 'differs') faults.push('the request is not what was received');
  if (answer === 'differs') faults.push('the answer is not what was sent');
  if (parts === 'differs') faults.push('the text is not what its nodes said one after the other');
  return { routing, serving, earlier: earlier.map(({ half }) => half), request, answer, parts, faults };
}

function requestOf(routing: RoutingHalf, kept: KeptContent | undefined): Uint8Array | undefined {
  if (!isOfApi(routing)) return kept?.request;
  const [, method, target] = /^(\S+) (\S+)$/.exec(kept?.call ?? '') ?? [];
  if (method === undefined || target === undefined) return undefined;
  return Buffer.concat([Buffer.from(callText(method, target)), kept?.request ?? Buffer.alloc(0)]);
}

function compare(salt: string | undefined, content: Uint8Array | undefined, hashed: string | undefined): ContentCheck {
  if (salt === undefined || content === undefined || hashed === undefined) return 'not checked';
  return saltedHash(salt, content) === hashed ? 'same' : 'differs';
}

function openRouting({ routing, networkId }: Receipt, fingerprint: string): RoutingHalf {
  const { publicKey, atMs } = openIssuer(routing, networkId, fingerprint);
  const certificate = openDocument(routing.certificate, 'gateway', publicKey);
  requireNetwork(certificate.networkId, networkId);
  requireValid('the certificate of the gateway', certificate, atMs);
  openBatch(routing, certificate.publicKey, networkId);
  return parsed('routing', routingHalf.safeParse(jsonOf(routing.leaf)));
}

function openServing({ networkId }: Receipt, serving: ReceiptHalf, fingerprint: string): SignedPart {
  const { publicKey } = openIssuer(serving, networkId, fingerprint);
  const { pool, node, ...key } = openDocument(serving.certificate, 'receipt-key', publicKey);
  requireNetwork(key.networkId, networkId);
  openBatch(serving, key.publicKey, networkId);
  return { half: parsed('serving', servingHalf.safeParse(jsonOf(serving.leaf))), pool, node };
}

/** The signing key that vouches for the half's certificate, and the time by which keys are judged. */
function openIssuer(
  half: ReceiptHalf,
  networkId: string,
  fingerprint: string,
): { readonly publicKey: string; readonly atMs: number } {
  if (fingerprintOf(half.networkKey) !== fingerprint)
    throw new DocumentError('this receipt is of another network: its key has another fingerprint');
  const signingKey = openDocument(half.signingKey, 'signing-key', half.networkKey);
  requireNetwork(signingKey.networkId, networkId);
  // Read here, believed once the signature over it has been checked.
  const { issuedAt: atMs } = parsed('batch of the', receiptBatch.safeParse(jsonOf(half.batch.body)));
  requireValid('the signing key', signingKey, atMs);
  return { publicKey: signingKey.publicKey, atMs };
}

function openBatch(half: ReceiptHalf, publicKey: string, networkId: string): void {
  const batch = openDocument(half.batch, 'receipt-batch', publicKey);
  requireNetwork(batch.networkId, networkId);
  if (rootFrom(half.leaf, half.index, batch.count, half.path) !== batch.root)
    throw new DocumentError('the half is not in the batch that was signed');
}

function requireNetwork(named: string, networkId: string): void {
  if (named !== networkId) throw new DocumentError('the receipt mixes networks');
}

function requireValid(what: string, key: { issuedAt: number; notAfter: number }, atMs: number): void {
  if (atMs < key.issuedAt - CLOCK_SLACK_MS || atMs > key.notAfter + CLOCK_SLACK_MS)
    throw new DocumentError(`${what} was not valid when the half was signed`);
}

function parsed<Half>(what: string, result: { success: true; data: Half } | { success: false }): Half {
  if (!result.success) throw new DocumentError(`the ${what} half has another shape`);
  return result.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new DocumentError('the receipt is not JSON where it should be');
  }
}

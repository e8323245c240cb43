/**
 * The link between agent and gateway: the agent dials out, one HTTP/1.1 Upgrade, then HTTP/2 on that socket with the
 * gateway as client and the agent as server.
 *
 * 1. Agent: `GET /link`, `upgrade: subcloud-link`, with LINK_HEADERS.version, .node and .agentNonce.
 * 2. Gateway: 101 with .gateway (base64url JSON: LinkGatewayHello). Its signature covers `linkTranscript('gateway', …)`.
 *    The agent checks the chain against the fingerprint it was given, the certificate, its TLS key, and the signature,
 *    before it says anything more.
 * 3. Over HTTP/2 the gateway opens one `POST /subcloud/report` that never ends: JSON lines both ways. The first line from
 *    the agent is `hello`, whose signature covers `linkTranscript('agent', …)`; nothing else passes before it holds.
 * 4. Inference requests are streams of their own, with LINK_HEADERS.pool, .table, .model and .request.
 *
 * The transcript is bound to the TLS channel (RFC 5705 exporter, label LINK_EXPORTER_LABEL) where there is one; on plain
 * loopback it is bound to both nonces alone.
 *
 * Versions: 1, 2026-11. Which one is spoken is agreed as versions.ts says.
 */
import * as z from 'zod';
import { publicKeyText, signedDocument, trustChain } from './documents.ts';
import { servingBatch } from './receipts.ts';
import type { VersionRange } from './versions.ts';

export const LINK_VERSION = 1;
export const LINK_SUPPORT_FLOOR = 1;
/** What this release speaks (versions.ts). */
export const LINK_VERSIONS: VersionRange = { oldest: LINK_SUPPORT_FLOOR, newest: LINK_VERSION };
export const LINK_PATH = '/link';
export const LINK_UPGRADE = 'subcloud-link';
export const LINK_EXPORTER_LABEL = 'EXPORTER-subcloud-link';
/** Length of the exported keying material, with an empty context; in transcripts as lower-case hex. */
export const LINK_EXPORTER_BYTES = 32;
/** `channel` of a transcript where there is no TLS (loopback only). */
export const LINK_PLAIN_CHANNEL = 'plain';
export const LINK_REPORT_PATH = '/subcloud/report';
/**
 * `GET` with `?nonce=` (and `&link=` and `&oldest=`, the versions that the agent speaks; left out: 1) on the gateway: 200 with a LinkGatewayHello as JSON, for an agent that enrols. Its signature covers
 * `linkTranscript('identity', …)` with LINK_IDENTITY_NODE as the node, on the connection that the question came by.
 */
export const LINK_IDENTITY_PATH = '/link/identity';
/** An agent that enrols has no node id yet. */
export const LINK_IDENTITY_NODE = '';

export const HEARTBEAT_MS = 5_000;
/** This many missed heartbeats and the link is dead. */
export const HEARTBEATS_MISSED = 3;
export const LINK_HANDSHAKE_TIMEOUT_MS = 10_000;
export const LINK_MAX_HEADER_BYTES = 16_384;
export const LINK_MAX_REPORT_LINE_BYTES = 1_048_576;
export const LINK_MAX_CONCURRENT_STREAMS = 1_000;

export const LINK_HEADERS = {
  /** The newest that the agent speaks; the hello says which was taken. */
  version: 'x-subcloud-link-version',
  /** The oldest that the agent speaks; left out: the newest is the only one. */
  oldest: 'x-subcloud-link-oldest',
  node: 'x-subcloud-node',
  agentNonce: 'x-subcloud-nonce',
  gateway: 'x-subcloud-gateway',
  /** On inference requests: the pool that the request is for. */
  pool: 'x-subcloud-pool',
  /** Version of the table that the gateway picked by. */
  table: 'x-subcloud-table',
  /** Network id of the model; the agent compares it with the body. */
  model: 'x-subcloud-model',
  request: 'x-request-id',
  /** On a 421: `(epoch).(serial).(tableVersion)` of the agent's document. */
  document: 'x-subcloud-document',
  /** With LINK_ENGINE_ENDED on a refusal: the engine's connection ended while it had the request. */
  engine: 'x-subcloud-engine',
  /**
   * With LINK_CONTINUES on a request: an engine that goes on with an assistant's message must answer it, no other one;
   * on the answer: one does. An answer without it is none. With LINK_CANNOT_CONTINUE on a refusal: the node has none.
   */
  continues: 'x-subcloud-continues',
} as const;

export const LINK_CONTINUES = 'final-message';
export const LINK_CANNOT_CONTINUE = 'cannot';

export const LINK_ENGINE_ENDED = 'ended';
/** Of an internal API: it has seen nothing of the request. Any other word of the agent: it may have. */
export const LINK_UNSENT = 'unsent';

/** Status by which an agent refuses a pool or model that its own document does not have. */
export const LINK_REFUSED_STATUS = 421;

export const linkGatewayHello = z.strictObject({
  version: z.int().positive(),
  chain: trustChain,
  certificate: signedDocument,
  nonce: z.string().min(32).max(128),
  signature: z.string().max(128),
});
export type LinkGatewayHello = z.infer<typeof linkGatewayHello>;

export interface LinkTranscript {
  readonly nodeId: string;
  readonly agentNonce: string;
  readonly gatewayNonce: string;
  readonly gatewayKey: string;
  /** Hex of the exported keying material, or `plain`. */
  readonly channel: string;
}

/** The text that each side signs. The side stands in it, so that neither can reflect the other's signature. */
export function linkTranscript(side: 'gateway' | 'agent' | 'identity', transcript: LinkTranscript): string {
  const { nodeId, agentNonce, gatewayNonce, gatewayKey, channel } = transcript;
  return ['subcloud/v1/link', side, nodeId, agentNonce, gatewayNonce, gatewayKey, channel].join('\n');
}

const documentPosition = { epoch: z.int().nonnegative(), serial: z.int().nonnegative() };

/** What an engine says of its own load; also of requests that came by other gateways or past all of them. */
export const engineLoad = z.strictObject({
  /** Network ids of the models that it serves. */
  models: z.array(z.string().max(256)).min(1).max(1024),
  running: z.int().nonnegative(),
  waiting: z.int().nonnegative(),
  /** Share of its KV cache that is in use, 0..1; null where it does not say. */
  kvCacheUsed: z.number().min(0).max(1).nullable(),
});
export type EngineLoad = z.infer<typeof engineLoad>;

/** From the agent, one JSON object a line. */
export const agentMessage = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('hello'),
    publicKey: publicKeyText,
    signature: z.string().max(128),
    agentVersion: z.string().max(64),
    ...documentPosition,
  }),
  z.strictObject({ type: z.literal('declaration'), document: signedDocument }),
  z.strictObject({ type: z.literal('heartbeat'), inFlight: z.int().nonnegative() }),
  /** Of those engines that say something; it stays in the gateway, and is forgotten where it is not said again. */
  z.strictObject({ type: z.literal('load'), engines: z.array(engineLoad).max(64) }),
  z.strictObject({ type: z.literal('document-acknowledged'), ...documentPosition }),
  /** Of the pools that the document at this position is draining: those in which the node has nothing in flight, over all links. */
  z.strictObject({ type: z.literal('drained'), pools: z.array(z.string().max(63)).max(1024), ...documentPosition }),
  /** What the node signed of answers to requests that came with a salt; a gateway that sends none gets none. */
  z.strictObject({ type: z.literal('receipts'), ...servingBatch.shape }),
  /** The agent takes no new requests and will close when what it has is done. */
  z.strictObject({ type: z.literal('draining') }),
]);
export type AgentMessage = z.infer<typeof agentMessage>;

/** To the agent, one JSON object a line. */
export const gatewayMessage = z.discriminatedUnion('type', [
  /** The hello held: the agent is linked. `nowMs` is control's clock. */
  z.strictObject({ type: z.literal('welcome'), nowMs: z.number().nonnegative() }),
  z.strictObject({ type: z.literal('time'), nowMs: z.number().nonnegative() }),
  z.strictObject({ type: z.literal('document'), document: signedDocument }),
  z.strictObject({ type: z.literal('chain'), chain: trustChain }),
]);
export type GatewayMessage = z.infer<typeof gatewayMessage>;

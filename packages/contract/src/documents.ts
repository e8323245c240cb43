/**
 * The signed documents and the chain: network key -> signing key certificate -> gateway certificate, node document.
 * A document travels as the exact text that was signed, so that no two parties can serialise it differently. The
 * signature covers `subcloud/v1/<type>\n<body>` (Ed25519), so a document of one type never passes for another.
 *
 * Versions: 1, 2026-11.
 */
import type { FactName } from '@subcloud/policy/fact-values';
import * as z from 'zod';
import {
  ISOLATIONS,
  consentSchema,
  labelsSchema,
  modelId,
  principalId,
  digestText,
  GPU_NAMES,
  MODALITIES,
  QUANTIZATIONS,
} from './vocabulary.ts';

export const DOCUMENT_VERSION = 1;

export const DOCUMENT_TYPES = [
  'signing-key',
  'gateway',
  'control',
  'node',
  'declaration',
  'claim',
  'audit-seal',
  'receipt-batch',
  'receipt-key',
] as const;
export type DocumentType = (typeof DOCUMENT_TYPES)[number];

export const signedDocument = z.strictObject({
  type: z.enum(DOCUMENT_TYPES),
  /** JSON text, exactly as signed. */
  body: z.string().max(1_048_576),
  /** SHA-256 of the signer's raw public key, hex. */
  signer: z.string().regex(/^[0-9a-f]{64}$/),
  /** base64url. */
  signature: z.string().max(128),
});
export type SignedDocument = z.infer<typeof signedDocument>;

/** Raw Ed25519 public key, 32 bytes, base64url. Its fingerprint is the SHA-256 of those bytes, hex. */
export const publicKeyText = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be a raw Ed25519 public key in base64url');
const timeMs = z.int().nonnegative();
const documentId = z.string().regex(/^[a-z]+_[0-9a-z]{1,64}$/);

/** Signed by the network key. */
export const signingKeyCertificate = z.strictObject({
  version: z.literal(1),
  networkId: documentId,
  publicKey: publicKeyText,
  issuedAt: timeMs,
  notAfter: timeMs,
});
export type SigningKeyCertificate = z.infer<typeof signingKeyCertificate>;
export const SIGNING_KEY_VALID_MS = 30 * 86_400_000;

/** Signed by the signing key. */
export const gatewayCertificate = z.strictObject({
  version: z.literal(1),
  networkId: documentId,
  gatewayId: documentId,
  publicKey: publicKeyText,
  /** SHA-256 of the subject public key info of its TLS certificate, hex; null where it listens in plain on loopback. */
  tlsKeySha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
  pools: z.union([z.literal('all'), z.array(z.string().max(63))]),
  issuedAt: timeMs,
  notAfter: timeMs,
});
export type GatewayCertificate = z.infer<typeof gatewayCertificate>;
export const GATEWAY_CERTIFICATE_VALID_MS = 86_400_000;

/** Signed by the signing key: the TLS key of a listener of control, for gateways on other machines. */
export const controlCertificate = z.strictObject({
  version: z.literal(1),
  networkId: documentId,
  tlsKeySha256: z.string().regex(/^[0-9a-f]{64}$/),
  issuedAt: timeMs,
  notAfter: timeMs,
});
export type ControlCertificate = z.infer<typeof controlCertificate>;
export const CONTROL_CERTIFICATE_VALID_MS = 86_400_000;

export const nodeMembership = z.strictObject({
  /** `global` or a Subcloud's name. */
  pool: z.string().max(63),
  /** Network ids of the models that the node may serve there. */
  models: z.array(modelId).max(1024),
  revision: z.int().nonnegative(),
  /** With `isolation`, what the agent asks its operator's consent of today by. Null for `global`. */
  owner: principalId.nullable(),
  isolation: z.enum(ISOLATIONS),
  /** Its models may be offered in no other pool. */
  private: z.literal(true).optional(),
  /** The operator has said yes with its account, for at most this isolation. */
  accepted: z.enum(ISOLATIONS).optional(),
  /** Labels and allow-list, where the operator's consent is a rule about Subclouds that may read them. */
  labels: labelsSchema.optional(),
  allows: z.array(z.string().max(256)).max(1024).optional(),
});
export type NodeMembership = z.infer<typeof nodeMembership>;

/** Signed by the signing key: what the node may serve. The agent's own lock. */
export const nodeDocument = z.strictObject({
  version: z.literal(1),
  networkId: documentId,
  nodeId: documentId,
  nodeKey: publicKeyText,
  epoch: z.int().positive(),
  /** Grows by every issue within an epoch; an agent refuses a lower (epoch, serial). */
  serial: z.int().positive(),
  /** The table version of the last change of memberships; renewal keeps it. */
  tableVersion: z.int().nonnegative(),
  memberships: z.array(nodeMembership).max(1024),
  /** Pools that the node is leaving: it takes nothing new there, and says when it has nothing in flight there any more. */
  draining: z.array(z.string().max(63)).max(1024).optional(),
  /** Gateways to keep a link to, as URLs. */
  gateways: z.array(z.strictObject({ id: documentId, url: z.url().max(512) })).max(8),
  issuedAt: timeMs,
  notAfter: timeMs,
});
export type NodeDocument = z.infer<typeof nodeDocument>;
export const NODE_DOCUMENT_VALID_MS = 86_400_000;
export const NODE_DOCUMENT_RENEW_MS = 3_600_000;

/** What an engine says of a model; null: it does not say. */
const declaredModel = z.strictObject({
  /** Network id. */
  id: modelId,
  digest: digestText.nullable(),
  quantization: z.enum(QUANTIZATIONS).nullable(),
  modalities: z.array(z.enum(MODALITIES)).max(8).nullable(),
  contextLength: z.int().positive().nullable(),
});
const declaredGpu = z.strictObject({
  model: z.enum(GPU_NAMES).nullable(),
  driverName: z.string().max(256),
  vramGiB: z.number().positive().max(100_000).nullable(),
  confidential: z.boolean().nullable(),
});

/** Signed by the node key: everything the agent says of itself, and its operator's consent. A gateway cannot forge it. */
export const nodeDeclaration = z.strictObject({
  version: z.literal(1),
  networkId: documentId,
  nodeId: documentId,
  /** Grows with every declaration (the agent's clock in ms, or one more than the last); control refuses a lower one. */
  serial: z.int().positive(),
  issuedAt: timeMs,
  models: z.array(declaredModel).max(1024),
  labels: labelsSchema,
  /** What a tool on the machine reports; null: none was found. */
  hardware: z.strictObject({ gpus: z.array(declaredGpu).max(64) }).nullable(),
  location: z.strictObject({ country: z.string().length(2), subdivision: z.string().max(6).optional() }).nullable(),
  consent: consentSchema,
  /** Requests that the node takes at once; null: it does not say. */
  concurrency: z.int().positive().max(100_000).nullable(),
  agentVersion: z.string().max(64),
});
export type NodeDeclaration = z.infer<typeof nodeDeclaration>;
/** Declared facts expire this long after control received them; agents declare again at half of it. */
export const DECLARATION_VALID_MS = 86_400_000;

/** Facts that somebody may attest. Labels are the operator's own words. */
export const ATTESTABLE_FACTS = [
  'location',
  'operatorSeat',
  'models',
  'hardware',
  'trustLevel',
  'reputation',
  'stake',
  'uptime30d',
  'audit',
] as const satisfies readonly FactName[];
export type AttestableFact = (typeof ATTESTABLE_FACTS)[number];

/** Unique in the network for ever; what a clause's `by` names. `network` is the network's own signing key. */
export const attesterName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be 1 to 63 of a-z, 0-9 and - (not first or last)');

/** What a claim is about: a node, or model weights wherever they are served (audits). */
export const claimSubject = z.union([
  z.strictObject({ node: z.string().regex(/^nod_[0-9a-z]{1,64}$/, 'must be a node id (nod_…)') }),
  z.strictObject({ digest: digestText }),
]);
export type ClaimSubject = z.infer<typeof claimSubject>;

/** Signed by an attester's key: one fact about one subject. */
export const claimDocument = z.strictObject({
  version: z.literal(1),
  networkId: documentId,
  /** The attester's name. */
  issuer: attesterName,
  subject: claimSubject,
  fact: z.enum(ATTESTABLE_FACTS),
  /** As the vocabulary of facts has it; checked there. */
  value: z.unknown(),
  issuedAt: timeMs,
  expiresAt: timeMs,
});
export type ClaimDocument = z.infer<typeof claimDocument>;
/** A claim that holds for longer than this is refused: who still knows it by then? */
export const CLAIM_VALID_AT_MOST_MS = 10 * 366 * 86_400_000;

/** Signed by the signing key: the audit log up to entry `sequence`, whose hash is `hash` (audit.ts). */
export const auditSeal = z.strictObject({
  version: z.literal(1),
  networkId: documentId,
  sequence: z.int().positive(),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  /** The entry that the seal before this one spoke of; 0: this is the first. */
  previous: z.int().nonnegative(),
  issuedAt: timeMs,
});
export type AuditSeal = z.infer<typeof auditSeal>;

/** Signed by a gateway's key or by a node's key of one pool: the root of a tree of receipt halves (receipts.ts). */
export const receiptBatch = z.strictObject({
  version: z.literal(1),
  networkId: documentId,
  /** Leaves of the tree. */
  count: z.int().positive(),
  root: z.string().regex(/^[0-9a-f]{64}$/),
  issuedAt: timeMs,
});
export type ReceiptBatch = z.infer<typeof receiptBatch>;

/** Signed by the signing key: the key with which the node of this pseudonym signs what it served in this pool. */
export const receiptKey = z.strictObject({
  version: z.literal(1),
  networkId: documentId,
  pool: z.string().max(63),
  /** The node's pseudonym there. */
  node: z.string().max(32),
  publicKey: publicKeyText,
  issuedAt: timeMs,
});
export type ReceiptKey = z.infer<typeof receiptKey>;

/** What any party needs to check documents of a network whose fingerprint it knows. */
export const trustChain = z.strictObject({
  networkId: documentId,
  networkKey: publicKeyText,
  signingKeys: z.array(signedDocument).min(1).max(4),
});
export type TrustChain = z.infer<typeof trustChain>;

export const documentBodies = {
  'signing-key': signingKeyCertificate,
  gateway: gatewayCertificate,
  control: controlCertificate,
  node: nodeDocument,
  declaration: nodeDeclaration,
  claim: claimDocument,
  'audit-seal': auditSeal,
  'receipt-batch': receiptBatch,
  'receipt-key': receiptKey,
} as const;
export type DocumentBody<Type extends DocumentType> = z.infer<(typeof documentBodies)[Type]>;

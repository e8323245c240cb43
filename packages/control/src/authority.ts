/** What control signs, with the signing key that is in use (keys/key-ring.ts). */
import {
  type AuditSeal,
  type ClaimDocument,
  type ControlCertificate,
  type GatewayCertificate,
  type NodeDocument,
  type ReceiptKey,
  type SignedDocument,
  type TrustChain,
  CONTROL_CERTIFICATE_VALID_MS,
  GATEWAY_CERTIFICATE_VALID_MS,
  NODE_DOCUMENT_VALID_MS,
} from '@subcloud/contract/documents';
import type { Clock } from '@subcloud/kit/clock';
import { fingerprintOf, signDocument } from '@subcloud/kit/signing';
import { type KeyRing, openKeyRing } from './keys/key-ring.ts';

/** Who signs claims with the network's signing key. */
export const NETWORK_ISSUER = 'network';

export interface Authority {
  readonly ring: KeyRing;
  readonly fingerprint: string;
  readonly networkKey: string;
  /** The signing key that is in use, public part: what claims of issuer `network` are checked with. */
  readonly signingKey: string;
  chain(): TrustChain;
  /** Renews certificates at half their life, and takes a change of keys a step further. True when the chain has changed. */
  renewIfDue(): boolean;
  signGateway(body: Omit<GatewayCertificate, 'version' | 'networkId' | 'issuedAt' | 'notAfter'>): SignedDocument;
  /** Names the TLS key of a listener for gateways. */
  signControl(body: Pick<ControlCertificate, 'tlsKeySha256'>): SignedDocument;
  signNode(body: Omit<NodeDocument, 'version' | 'networkId' | 'issuedAt' | 'notAfter'>): SignedDocument;
  /** With the certificate of the key that signed, so that it can be checked when that key is long gone. */
  signAudit(body: Pick<AuditSeal, 'sequence' | 'hash' | 'previous'>): {
    readonly document: SignedDocument;
    readonly certificate: SignedDocument;
  };
  /** Names the key with which the node of a pseudonym signs its receipts in a pool. */
  signReceiptKey(body: Pick<ReceiptKey, 'pool' | 'node' | 'publicKey'>): SignedDocument;
  /** A claim of issuer `network`. */
  signClaim(body: Omit<ClaimDocument, 'version' | 'networkId' | 'issuer' | 'issuedAt'>): SignedDocument;
}

/** Reads the keys below `folder`, or makes them where the network is new. */
export function openAuthority(options: {
  readonly folder: string;
  readonly networkId: string;
  readonly clock: Clock;
}): Authority {
  const { folder, networkId, clock } = options;
  const ring = openKeyRing({ folder, networkId, clock });

  return {
    ring,
    fingerprint: fingerprintOf(ring.networkKey),
    networkKey: ring.networkKey,
    get signingKey() {
      return ring.active().publicKey;
    },
    chain: () => ({ networkId, networkKey: ring.networkKey, signingKeys: [...ring.certificates()] }),
    renewIfDue: () => ring.advance(),
    signGateway: (body) => {
      const issuedAt = clock.nowMs();
      return signDocument(ring.active(), 'gateway', {
        ...body,
        version: 1,
        networkId,
        issuedAt,
        notAfter: issuedAt + GATEWAY_CERTIFICATE_VALID_MS,
      });
    },
    signControl: ({ tlsKeySha256 }) => {
      const issuedAt = clock.nowMs();
      const notAfter = issuedAt + CONTROL_CERTIFICATE_VALID_MS;
      return signDocument(ring.active(), 'control', { version: 1, networkId, tlsKeySha256, issuedAt, notAfter });
    },
    signNode: (body) => {
      const issuedAt = clock.nowMs();
      return signDocument(ring.active(), 'node', {
        ...body,
        version: 1,
        networkId,
        issuedAt,
        notAfter: issuedAt + NODE_DOCUMENT_VALID_MS,
      });
    },
    signAudit: ({ sequence, hash, previous }) => {
      const certificate = ring.activeCertificate();
      if (certificate === undefined) throw new Error('the signing key has no certificate');
      const body: AuditSeal = { version: 1, networkId, sequence, hash, previous, issuedAt: clock.nowMs() };
      return { document: signDocument(ring.active(), 'audit-seal', body), certificate };
    },
    signReceiptKey: (body) =>
      signDocument(ring.active(), 'receipt-key', { ...body, version: 1, networkId, issuedAt: clock.nowMs() }),
    signClaim: (body) =>
      signDocument(ring.active(), 'claim', {
        ...body,
        version: 1,
        networkId,
        issuer: NETWORK_ISSUER,
        issuedAt: clock.nowMs(),
      }),
  };
}

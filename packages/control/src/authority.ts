/**
 * The network's keys and what they sign. The network key vouches for signing keys and is used for nothing else, so that
 * it can be kept offline; the signing key signs gateway certificates and node documents. Both lie in 0600 files below
 * DATA/keys, never in the database.
 */
import { join } from 'node:path';
import {
  type AuditSeal,
  type ClaimDocument,
  type ControlCertificate,
  type GatewayCertificate,
  type NodeDocument,
  type SignedDocument,
  type SigningKeyCertificate,
  type TrustChain,
  CONTROL_CERTIFICATE_VALID_MS,
  GATEWAY_CERTIFICATE_VALID_MS,
  NODE_DOCUMENT_VALID_MS,
  SIGNING_KEY_VALID_MS,
  signedDocument,
} from '@subcloud/contract/documents';
import type { Clock } from '@subcloud/kit/clock';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import {
  type SigningKey,
  exportSigningKey,
  generateSigningKey,
  importSigningKey,
  openDocument,
  signDocument,
} from '@subcloud/kit/signing';

/** Who signs claims with the network's signing key. */
export const NETWORK_ISSUER = 'network';

export interface Authority {
  readonly fingerprint: string;
  readonly networkKey: string;
  /** The signing key that is in use, public part: what claims of issuer `network` are checked with. */
  readonly signingKey: string;
  chain(): TrustChain;
  /** Makes a new certificate for the signing key when less than half of its life is left. True when it did. */
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
  const network = readOrMakeKey(join(folder, 'network.pem'));
  const signing = readOrMakeKey(join(folder, 'signing.pem'));
  const certificatePath = join(folder, 'signing-certificate.json');
  let certificate = readCertificate(certificatePath, network, signing);

  const renewIfDue = (): boolean => {
    const now = clock.nowMs();
    if (certificate !== undefined && certificate.body.notAfter - now > SIGNING_KEY_VALID_MS / 2) return false;
    const body: SigningKeyCertificate = {
      version: 1,
      networkId,
      publicKey: signing.publicKey,
      issuedAt: now,
      notAfter: now + SIGNING_KEY_VALID_MS,
    };
    certificate = { body, document: signDocument(network, 'signing-key', body) };
    writeFileDurably(certificatePath, JSON.stringify(certificate.document));
    return true;
  };
  if (certificate?.body.networkId !== networkId) certificate = undefined;
  renewIfDue();

  return {
    fingerprint: network.fingerprint,
    networkKey: network.publicKey,
    signingKey: signing.publicKey,
    chain: () => ({
      networkId,
      networkKey: network.publicKey,
      signingKeys: certificate === undefined ? [] : [certificate.document],
    }),
    renewIfDue,
    signGateway: (body) => {
      const issuedAt = clock.nowMs();
      return signDocument(signing, 'gateway', {
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
      return signDocument(signing, 'control', { version: 1, networkId, tlsKeySha256, issuedAt, notAfter });
    },
    signNode: (body) => {
      const issuedAt = clock.nowMs();
      return signDocument(signing, 'node', {
        ...body,
        version: 1,
        networkId,
        issuedAt,
        notAfter: issuedAt + NODE_DOCUMENT_VALID_MS,
      });
    },
    signAudit: ({ sequence, hash, previous }) => {
      if (certificate === undefined) throw new Error('the signing key has no certificate');
      const body: AuditSeal = { version: 1, networkId, sequence, hash, previous, issuedAt: clock.nowMs() };
      return { document: signDocument(signing, 'audit-seal', body), certificate: certificate.document };
    },
    signClaim: (body) =>
      signDocument(signing, 'claim', {
        ...body,
        version: 1,
        networkId,
        issuer: NETWORK_ISSUER,
        issuedAt: clock.nowMs(),
      }),
  };
}

function readOrMakeKey(path: string): SigningKey {
  const pem = readFileIfPresent(path);
  if (pem !== undefined) return importSigningKey(pem);
  const key = generateSigningKey();
  writeFileDurably(path, exportSigningKey(key));
  return key;
}

function readCertificate(
  path: string,
  network: SigningKey,
  signing: SigningKey,
): { body: SigningKeyCertificate; document: SignedDocument } | undefined {
  const text = readFileIfPresent(path);
  if (text === undefined) return undefined;
  try {
    const document = signedDocument.parse(JSON.parse(text));
    const body = openDocument(document, 'signing-key', network.publicKey);
    return body.publicKey === signing.publicKey ? { body, document } : undefined;
  } catch {
    // A damaged certificate is made again: both keys are here.
    return undefined;
  }
}

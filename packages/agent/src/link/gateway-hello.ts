/**
 * Is this the network that the operator meant? Chain from the known fingerprint, gateway certificate, TLS key, and a
 * signature over this very connection, in that order. Nothing of value is sent before all four hold, so an impostor
 * learns neither the join token nor that there is a node.
 */
import { randomBytes } from 'node:crypto';
import type { GatewayCertificate, TrustChain } from '@subcloud/contract/documents';
import { LINK_VERSIONS, linkGatewayHello, linkTranscript } from '@subcloud/contract/link';
import { commonVersion, versionFault } from '@subcloud/contract/versions';
import { DocumentError, openChain, openSignedByChain, verifyText } from '@subcloud/kit/signing';
import { LinkError } from './link-error.ts';
import type { Channel } from './open-socket.ts';

export interface KnownGateway {
  readonly certificate: GatewayCertificate;
  readonly chain: TrustChain;
  readonly gatewayNonce: string;
}

export interface HelloExpectation {
  readonly side: 'gateway' | 'identity';
  readonly nodeId: string;
  readonly agentNonce: string;
  readonly channel: Channel;
  /** Of the network's key, hex, from the join token. */
  readonly fingerprint: string;
  /** Best knowledge of control's time. */
  readonly nowMs: number;
}

/** Throws LinkError with what does not hold. */
export function checkGatewayHello(hello: unknown, expected: HelloExpectation): KnownGateway {
  requireCommonVersion(hello);
  const parsed = linkGatewayHello.safeParse(hello);
  if (!parsed.success) throw new LinkError('what answered is no Subcloud gateway');
  const { chain, certificate: signedCertificate, nonce, signature } = parsed.data;
  let certificate: GatewayCertificate;
  try {
    const signers = openChain(chain, expected.fingerprint, expected.nowMs);
    certificate = openSignedByChain(signedCertificate, 'gateway', signers, expected.nowMs);
  } catch (error) {
    if (error instanceof DocumentError) throw new LinkError(error.message);
    throw error;
  }
  checkTlsKey(certificate, expected.channel);
  const transcript = linkTranscript(expected.side, {
    nodeId: expected.nodeId,
    agentNonce: expected.agentNonce,
    gatewayNonce: nonce,
    gatewayKey: certificate.publicKey,
    channel: expected.channel.binding,
  });
  if (!verifyText(certificate.publicKey, transcript, signature)) {
    throw new LinkError('the gateway did not prove that it holds its key on this connection');
  }
  return { certificate, chain, gatewayNonce: nonce };
}

/** Before its shape: a hello of another version may look in any way. */
function requireCommonVersion(hello: unknown): void {
  const version = typeof hello === 'object' && hello !== null && 'version' in hello ? hello.version : undefined;
  if (typeof version !== 'number' || !Number.isSafeInteger(version) || version < 0) return;
  const gateway = { oldest: version, newest: version };
  if (commonVersion(gateway, LINK_VERSIONS) !== undefined) return;
  const fault = versionFault(
    'link',
    { name: 'the gateway', range: gateway },
    { name: 'this agent', range: LINK_VERSIONS },
  );
  throw new LinkError(`platform.version_unsupported: ${fault.message}`, 'refused');
}

function checkTlsKey(certificate: GatewayCertificate, channel: Channel): void {
  if (certificate.tlsKeySha256 === channel.tlsKeySha256) return;
  throw new LinkError(
    channel.tlsKeySha256 === null
      ? 'the gateway speaks TLS and this connection does not: use its https URL'
      : 'the TLS key of this connection is not the one that the gateway certificate names: something in between ends TLS; pass it through instead',
  );
}

export function newNonce(): string {
  return randomBytes(32).toString('base64url');
}

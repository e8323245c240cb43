/** What this gateway says of itself to an agent: chain, certificate, and a signature bound to the channel and both nonces. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import {
  LINK_EXPORTER_BYTES,
  LINK_EXPORTER_LABEL,
  LINK_PLAIN_CHANNEL,
  type LinkGatewayHello,
  type LinkTranscript,
  linkTranscript,
} from '@subcloud/contract/link';
import { signText } from '@subcloud/kit/signing';
import type { CertificateKeeper, GatewayKeys } from './gateway-identity.ts';

export const NONCE_PATTERN = /^[A-Za-z0-9_-]{32,128}$/;

export interface SignedHello {
  readonly hello: LinkGatewayHello;
  readonly transcript: LinkTranscript;
}

/** Undefined while the gateway has no certificate that holds. */
export function signHello(
  keys: GatewayKeys,
  certificates: CertificateKeeper,
  side: 'gateway' | 'identity',
  peer: { readonly nodeId: string; readonly agentNonce: string; readonly channel: string },
  version: number,
): SignedHello | undefined {
  const held = certificates.current();
  if (held === undefined) return undefined;
  const nonce = randomBytes(32).toString('base64url');
  const transcript = { ...peer, gatewayNonce: nonce, gatewayKey: keys.key.publicKey };
  const signature = signText(keys.key, linkTranscript(side, transcript));
  return { hello: { version, ...held, nonce, signature }, transcript };
}

/**
 * What ties a signature to this connection: keying material that both ends of a TLS 1.3 channel derive and nobody
 * between them can, or `plain` on loopback. Undefined for an older TLS, whose exporter does not bind the handshake.
 */
export function channelOf(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket)) return LINK_PLAIN_CHANNEL;
  if (socket.getProtocol() !== 'TLSv1.3') return undefined;
  return socket.exportKeyingMaterial(LINK_EXPORTER_BYTES, LINK_EXPORTER_LABEL, Buffer.alloc(0)).toString('hex');
}

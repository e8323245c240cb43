/** What the peer says of itself, true or with one thing wrong. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { SignedDocument } from '@subcloud/contract/documents';
import {
  LINK_EXPORTER_BYTES,
  LINK_EXPORTER_LABEL,
  type LinkGatewayHello,
  linkTranscript,
} from '@subcloud/contract/link';
import type { Clock } from '@subcloud/kit/clock';
import { type SigningKey, generateSigningKey, signDocument, signText } from '@subcloud/kit/signing';
import { type PeerNetwork, createPeerNetwork } from './peer-network.ts';

/** Ways to be an impostor. Each gets one thing of the hello wrong and all else right. */
export type Lie =
  /** Signs with a key that its certificate does not name. */
  | 'wrong-key'
  /** Shows its own network, which is not the one of the join token. */
  | 'wrong-network'
  /** Its certificate names the right network and was signed by nobody of it. */
  | 'self-signed-certificate'
  | 'expired-certificate'
  /** Shows a hello that it recorded on an earlier connection. */
  | 'replayed-hello'
  /** Passes a signature of another side off as its own. */
  | 'reflected-signature'
  /** Binds its signature to another channel than the one that is there, as a man in the middle must. */
  | 'other-channel'
  /** Certificate of a gateway with another TLS key. */
  | 'other-tls-key';

export type PeerHellos = (
  side: 'gateway' | 'identity',
  nodeId: string,
  agentNonce: string,
  socket: Socket,
) => LinkGatewayHello;

export function peerHellos(peer: {
  readonly key: SigningKey;
  readonly gatewayId: string;
  readonly network: PeerNetwork;
  readonly clock: Clock;
  readonly tlsKeySha256: string | null;
  readonly lie: () => Lie | undefined;
}): PeerHellos {
  const { key, gatewayId, clock } = peer;
  const recorded = new Map<string, LinkGatewayHello>();
  const certificate = (shown: PeerNetwork, lie: Lie | undefined): SignedDocument => {
    const nowMs = Math.trunc(clock.nowMs());
    const signer = lie === 'self-signed-certificate' ? generateSigningKey() : shown.signingKey;
    return signDocument(signer, 'gateway', {
      version: 1,
      networkId: shown.chain.networkId,
      gatewayId,
      publicKey: key.publicKey,
      tlsKeySha256: lie === 'other-tls-key' ? 'ab'.repeat(32) : peer.tlsKeySha256,
      pools: 'all',
      issuedAt: nowMs - 1_000,
      notAfter: lie === 'expired-certificate' ? nowMs - 500 : nowMs + 86_400_000,
    });
  };
  return (side, nodeId, agentNonce, socket) => {
    const lie = peer.lie();
    const before = recorded.get(side);
    if (lie === 'replayed-hello' && before !== undefined) return before;
    const signer = lie === 'wrong-key' ? generateSigningKey() : key;
    const shown = lie === 'wrong-network' ? createPeerNetwork(clock) : peer.network;
    const gatewayNonce = signText(signer, agentNonce).slice(0, 43);
    const channel = lie === 'other-channel' ? 'ab'.repeat(LINK_EXPORTER_BYTES) : channelOf(socket);
    const transcript = { nodeId, agentNonce, gatewayNonce, gatewayKey: key.publicKey, channel };
    const said: LinkGatewayHello = {
      version: 1,
      chain: shown.chain,
      certificate: certificate(shown, lie),
      nonce: gatewayNonce,
      signature: signText(signer, linkTranscript(lie === 'reflected-signature' ? 'agent' : side, transcript)),
    };
    recorded.set(side, said);
    return said;
  };
}

export function channelOf(socket: Socket): string {
  if (!(socket instanceof TLSSocket)) return 'plain';
  return socket.exportKeyingMaterial(LINK_EXPORTER_BYTES, LINK_EXPORTER_LABEL, Buffer.alloc(0)).toString('hex');
}

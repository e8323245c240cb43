/** Keys and documents of a network that exists only in a test. */
import type { NodeDocument, NodeMembership, SignedDocument, TrustChain } from '@subcloud/contract/documents';
import { type Clock, newId } from '@subcloud/kit/clock';
import { type SigningKey, generateSigningKey, signDocument } from '@subcloud/kit/signing';

/** What a test wants to stand in a node document; the rest is filled in so that it holds. */
export type DocumentWish = Partial<Omit<NodeDocument, 'memberships'>> & {
  readonly memberships?: readonly (Partial<NodeMembership> & Pick<NodeMembership, 'pool' | 'models'>)[];
  /** Signs instead of the network's signing key. */
  readonly signer?: SigningKey;
};

export interface PeerNetwork {
  readonly chain: TrustChain;
  readonly fingerprint: string;
  readonly signingKey: SigningKey;
  /** Serials grow with every document unless the wish names one. */
  nodeDocument(nodeId: string, nodeKey: string, wish: DocumentWish): SignedDocument;
}

export function createPeerNetwork(clock: Clock): PeerNetwork {
  const networkKey = generateSigningKey();
  const signingKey = generateSigningKey();
  const networkId = newId('net');
  const startMs = Math.trunc(clock.nowMs());
  let serial = 0;
  return {
    fingerprint: networkKey.fingerprint,
    signingKey,
    chain: {
      networkId,
      networkKey: networkKey.publicKey,
      signingKeys: [
        signDocument(networkKey, 'signing-key', {
          version: 1,
          networkId,
          publicKey: signingKey.publicKey,
          issuedAt: startMs - 1_000,
          notAfter: startMs + 30 * 86_400_000,
        }),
      ],
    },
    nodeDocument(nodeId, nodeKey, { signer = signingKey, memberships = [], ...wish }) {
      serial++;
      const nowMs = Math.trunc(clock.nowMs());
      return signDocument(signer, 'node', {
        version: 1,
        networkId,
        nodeId,
        nodeKey,
        epoch: 1,
        serial,
        tableVersion: 1,
        gateways: [],
        issuedAt: nowMs,
        notAfter: nowMs + 86_400_000,
        ...wish,
        memberships: memberships.map(({ pool, models, ...rest }) => ({
          pool,
          models,
          revision: 1,
          owner: pool === 'global' ? null : 'org:owner',
          isolation: 'shared',
          ...rest,
        })),
      });
    },
  };
}

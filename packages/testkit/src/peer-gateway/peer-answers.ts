/** What the peer answers to plain requests: who it is, and enrolments. */
import type { IncomingMessage, RequestListener } from 'node:http';
import { LINK_IDENTITY_PATH } from '@subcloud/contract/link';
import { newId } from '@subcloud/kit/clock';
import { hashSecret } from '@subcloud/kit/secrets';
import { verifyText } from '@subcloud/kit/signing';
import type { PeerHellos } from './peer-hello.ts';
import type { DocumentWish, PeerNetwork } from './peer-network.ts';

export interface PeerEnrolment {
  readonly joinToken: string;
  readonly publicKey: string;
  readonly name: string;
  readonly proofHolds: boolean;
}

export function peerAnswers(peer: {
  readonly hellos: PeerHellos;
  readonly network: PeerNetwork;
  readonly joinSecret: string;
  readonly wish: () => DocumentWish;
  readonly hear: (text: string) => void;
  readonly onEnrolment: (enrolment: PeerEnrolment) => void;
}): RequestListener {
  const { hellos, network, joinSecret, hear, onEnrolment } = peer;
  /** By public key: the same key is the same node. */
  const nodes = new Map<string, string>();
  return (request, response) => {
    const url = new URL(request.url ?? '', 'http://peer');
    const say = (status: number, value: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    hear(headText(request));
    if (url.pathname === LINK_IDENTITY_PATH) {
      say(200, hellos('identity', '', url.searchParams.get('nonce') ?? '', request.socket));
      return;
    }
    if (url.pathname === '/api/v1/enrolments') {
      collect(request)
        .then((text) => {
          hear(text);
          const asked = JSON.parse(text) as { joinToken: string; publicKey: string; name: string; proof: string };
          const { joinToken, publicKey, name, proof } = asked;
          const proofText = `subcloud/v1/enrol\n${hashSecret(joinToken)}\n${publicKey}`;
          const proofHolds = verifyText(publicKey, proofText, proof);
          onEnrolment({ joinToken, publicKey, name, proofHolds });
          if (joinToken !== joinSecret || !proofHolds) {
            say(403, { error: { code: 'policy.join_refused', message: 'no' } });
            return;
          }
          const node = nodes.get(publicKey) ?? newId('nod');
          nodes.set(publicKey, node);
          const document = network.nodeDocument(node, publicKey, peer.wish());
          say(201, { node, operator: 'user:operator', chain: network.chain, document });
        })
        .catch(() => response.destroy());
      return;
    }
    say(404, { error: { code: 'client.not_found' } });
  };
}

export function headText(request: IncomingMessage): string {
  return `${request.method} ${request.url}\n${request.rawHeaders.join('\n')}\n`;
}

async function collect(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

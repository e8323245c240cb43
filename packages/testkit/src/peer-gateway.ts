/**
 * A small gateway and control in one, for tests of the agent alone: it follows the contract and nothing else, hands out
 * any documents and labels that a test wants, and can be told to lie. The real gateway is tested with the real agent
 * elsewhere; this one exists to be wrong on purpose.
 */
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { type IncomingMessage, type RequestListener, createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { GatewayCertificate, SignedDocument } from '@subcloud/contract/documents';
import {
  LINK_EXPORTER_BYTES,
  LINK_EXPORTER_LABEL,
  LINK_HEADERS,
  LINK_IDENTITY_PATH,
  LINK_UPGRADE,
} from '@subcloud/contract/link';
import { type LinkGatewayHello, linkTranscript } from '@subcloud/contract/link';
import { type Clock, newId, systemClock } from '@subcloud/kit/clock';
import { hashSecret, joinTokenText, newSecret } from '@subcloud/kit/secrets';
import { generateSigningKey, signDocument, signText, verifyText } from '@subcloud/kit/signing';
import { type PeerLink, openPeerLink } from './peer-gateway/peer-link.ts';
import { type PeerNetwork, type DocumentWish, createPeerNetwork } from './peer-gateway/peer-network.ts';

export type { PeerLink } from './peer-gateway/peer-link.ts';
export type { DocumentWish, PeerNetwork } from './peer-gateway/peer-network.ts';
export { createPeerNetwork } from './peer-gateway/peer-network.ts';

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

export interface PeerEnrolment {
  readonly joinToken: string;
  readonly publicKey: string;
  readonly name: string;
  readonly proofHolds: boolean;
}

export interface PeerGateway extends AsyncDisposable {
  readonly url: string;
  readonly gatewayId: string;
  readonly network: PeerNetwork;
  /** A join token of this network with its fingerprint. */
  readonly joinToken: string;
  readonly enrolments: readonly PeerEnrolment[];
  readonly links: readonly PeerLink[];
  /** Every byte that clients sent before any link or answer was agreed on, as text: what an impostor would learn. */
  readonly heard: string;
  readonly upgrades: number;
  lie(how: Lie | undefined): void;
  /** Refuses links from now on with this status and code; undefined: takes them again. */
  refuse(refusal: { readonly status: number; readonly code: string } | undefined): void;
  /** What the next enrolments and links answer with. */
  wish(wish: DocumentWish): void;
  /** The newest link, when there is one that said hello. */
  link(): Promise<PeerLink>;
  /** Cuts all sockets, as a cable would. */
  cut(): void;
  close(): Promise<void>;
}

export interface PeerGatewayOptions {
  readonly network?: PeerNetwork;
  readonly clock?: Clock;
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly port?: number;
  readonly host?: string;
  readonly wish?: DocumentWish;
  /** Sends neither welcome nor time by itself. */
  readonly silent?: boolean;
}

export async function startPeerGateway(options: PeerGatewayOptions = {}): Promise<PeerGateway> {
  const { clock = systemClock, host = '127.0.0.1' } = options;
  const network = options.network ?? createPeerNetwork(clock);
  const key = generateSigningKey();
  const gatewayId = newId('gw');
  const joinSecret = newSecret('join');
  const enrolments: PeerEnrolment[] = [];
  const links: PeerLink[] = [];
  const sockets = new Set<Socket>();
  const waiting: ((link: PeerLink) => void)[] = [];
  const recorded = new Map<string, LinkGatewayHello>();
  let heard = '';
  let upgrades = 0;
  let lie: Lie | undefined;
  let refusal: { status: number; code: string } | undefined;
  let wish: DocumentWish = options.wish ?? {};
  const nodes = new Map<string, string>();
  const tlsKeySha256 = options.tls === undefined ? null : keyHash(options.tls.cert);

  const hello = (
    side: 'gateway' | 'identity',
    nodeId: string,
    agentNonce: string,
    socket: Socket,
  ): LinkGatewayHello => {
    const before = recorded.get(side);
    if (lie === 'replayed-hello' && before !== undefined) return before;
    const signer = lie === 'wrong-key' ? generateSigningKey() : key;
    const shown = lie === 'wrong-network' ? createPeerNetwork(clock) : network;
    const gatewayNonce = signText(signer, agentNonce).slice(0, 43);
    const channel = lie === 'other-channel' ? 'ab'.repeat(LINK_EXPORTER_BYTES) : channelOf(socket);
    const transcript = { nodeId, agentNonce, gatewayNonce, gatewayKey: key.publicKey, channel };
    const said: LinkGatewayHello = {
      version: 1,
      chain: shown.chain,
      certificate: certificate(shown),
      nonce: gatewayNonce,
      signature: signText(signer, linkTranscript(lie === 'reflected-signature' ? 'agent' : side, transcript)),
    };
    recorded.set(side, said);
    return said;
  };
  const certificate = (shown: PeerNetwork): SignedDocument => {
    const nowMs = Math.trunc(clock.nowMs());
    const body: GatewayCertificate = {
      version: 1,
      networkId: shown.chain.networkId,
      gatewayId,
      publicKey: key.publicKey,
      tlsKeySha256: lie === 'other-tls-key' ? 'ab'.repeat(32) : tlsKeySha256,
      pools: 'all',
      issuedAt: nowMs - 1_000,
      notAfter: lie === 'expired-certificate' ? nowMs - 500 : nowMs + 86_400_000,
    };
    const signer = lie === 'self-signed-certificate' ? generateSigningKey() : shown.signingKey;
    return signDocument(signer, 'gateway', body);
  };
  const answer: RequestListener = (request, response) => {
    const url = new URL(request.url ?? '', 'http://peer');
    const say = (status: number, value: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    heard += headText(request);
    if (url.pathname === LINK_IDENTITY_PATH) {
      say(200, hello('identity', '', url.searchParams.get('nonce') ?? '', request.socket));
      return;
    }
    if (url.pathname === '/api/v1/enrolments') {
      collect(request)
        .then((text) => {
          heard += text;
          const asked = JSON.parse(text) as { joinToken: string; publicKey: string; name: string; proof: string };
          const { joinToken, publicKey, name, proof } = asked;
          const proofText = `subcloud/v1/enrol\n${hashSecret(joinToken)}\n${publicKey}`;
          const proofHolds = verifyText(publicKey, proofText, proof);
          enrolments.push({ joinToken, publicKey, name, proofHolds });
          if (joinToken !== joinSecret || !proofHolds) {
            say(403, { error: { code: 'policy.join_refused', message: 'no' } });
            return;
          }
          const node = nodes.get(publicKey) ?? newId('nod');
          nodes.set(publicKey, node);
          const document = network.nodeDocument(node, publicKey, wish);
          say(201, { node, operator: 'user:operator', chain: network.chain, document });
        })
        .catch(() => response.destroy());
      return;
    }
    say(404, { error: { code: 'client.not_found' } });
  };

  const server = options.tls === undefined ? createServer(answer) : createSecureServer(options.tls, answer);
  server.on(options.tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', () => {});
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    upgrades++;
    // A server's sockets stay half open by default, and then the end of an agent's process would go unnoticed.
    socket.allowHalfOpen = false;
    heard += headText(request);
    if (refusal !== undefined) {
      const body = JSON.stringify({ error: { code: refusal.code, message: 'refused by the peer' } });
      socket.end(`HTTP/1.1 ${refusal.status} No\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`);
      return;
    }
    const nodeId = String(request.headers[LINK_HEADERS.node] ?? '');
    const agentNonce = String(request.headers[LINK_HEADERS.agentNonce] ?? '');
    const said = hello('gateway', nodeId, agentNonce, socket);
    const text = Buffer.from(JSON.stringify(said)).toString('base64url');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${LINK_UPGRADE}\r\n${LINK_HEADERS.gateway}: ${text}\r\n\r\n`,
      () => {
        if (socket.destroyed) return;
        if (head.byteLength > 0) socket.unshift(head);
        const transcript = {
          nodeId,
          agentNonce,
          gatewayNonce: said.nonce,
          gatewayKey: key.publicKey,
          channel: channelOf(socket),
        };
        const link = openPeerLink(socket, {
          nodeId,
          transcript: linkTranscript('agent', transcript),
          nowMs: () => clock.nowMs(),
          clock,
          silent: options.silent === true,
          onBytes: (bytes) => {
            heard += bytes;
          },
          onHello: () => {
            links.push(link);
            for (const wake of waiting.splice(0)) wake(link);
          },
        });
      },
    );
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, host, resolve));
  const { port } = server.address() as AddressInfo;

  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://${host}:${port}`,
    gatewayId,
    network,
    joinToken: joinTokenText(joinSecret, network.fingerprint),
    enrolments,
    links,
    get heard() {
      return heard;
    },
    get upgrades() {
      return upgrades;
    },
    lie(how) {
      lie = how;
    },
    refuse(how) {
      refusal = how;
    },
    wish(next) {
      wish = next;
    },
    link: async () => {
      const newest = links.findLast((link) => link.open);
      return newest ?? (await new Promise<PeerLink>((resolve) => waiting.push(resolve)));
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function channelOf(socket: Socket): string {
  if (!(socket instanceof TLSSocket)) return 'plain';
  return socket.exportKeyingMaterial(LINK_EXPORTER_BYTES, LINK_EXPORTER_LABEL, Buffer.alloc(0)).toString('hex');
}

function keyHash(certificatePem: string): string {
  const key = createPublicKey(new X509Certificate(certificatePem).publicKey.export({ type: 'spki', format: 'pem' }));
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

function headText(request: IncomingMessage): string {
  return `${request.method} ${request.url}\n${request.rawHeaders.join('\n')}\n`;
}

async function collect(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

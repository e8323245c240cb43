/**
 * A small gateway and control in one, for tests of the agent alone: it follows the contract and nothing else, hands out
 * any documents and labels that a test wants, and can be told to lie. The real gateway is tested with the real agent
 * elsewhere; this one exists to be wrong on purpose.
 */
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { type IncomingMessage, createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { LINK_HEADERS, LINK_UPGRADE, linkTranscript } from '@subcloud/contract/link';
import { type Clock, newId, systemClock } from '@subcloud/kit/clock';
import { joinTokenText, newSecret } from '@subcloud/kit/secrets';
import { generateSigningKey } from '@subcloud/kit/signing';
import { type PeerEnrolment, headText, peerAnswers } from './peer-gateway/peer-answers.ts';
import { type Lie, channelOf, peerHellos } from './peer-gateway/peer-hello.ts';
import { type PeerLink, openPeerLink } from './peer-gateway/peer-link.ts';
import { type PeerNetwork, type DocumentWish, createPeerNetwork } from './peer-gateway/peer-network.ts';

export type { PeerEnrolment } from './peer-gateway/peer-answers.ts';
export type { Lie } from './peer-gateway/peer-hello.ts';
export type { PeerLink } from './peer-gateway/peer-link.ts';
export type { DocumentWish, PeerNetwork } from './peer-gateway/peer-network.ts';
export { createPeerNetwork } from './peer-gateway/peer-network.ts';

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
  let heard = '';
  let upgrades = 0;
  let lie: Lie | undefined;
  let refusal: { status: number; code: string } | undefined;
  let wish: DocumentWish = options.wish ?? {};
  const tlsKeySha256 = options.tls === undefined ? null : keyHash(options.tls.cert);

  const hellos = peerHellos({ key, gatewayId, network, clock, tlsKeySha256, lie: () => lie });
  const answer = peerAnswers({
    hellos,
    network,
    joinSecret,
    wish: () => wish,
    hear: (text) => {
      heard += text;
    },
    onEnrolment: (enrolment) => enrolments.push(enrolment),
  });

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
    const said = hellos('gateway', nodeId, agentNonce, socket);
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

function keyHash(certificatePem: string): string {
  const key = createPublicKey(new X509Certificate(certificatePem).publicKey.export({ type: 'spki', format: 'pem' }));
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

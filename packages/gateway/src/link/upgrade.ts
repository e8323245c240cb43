/**
 * The HTTP side of a new link: checks what the agent asks for, answers 101 with the gateway's hello, and hands the socket
 * to HTTP/2. A peer here is anybody on the network: it must not be able to do more than waste a bounded slot for a
 * bounded time.
 *
 * The order at the end is not a matter of taste: `http2.connect` on a socket whose 101 is still being written aborts the
 * whole process in native code, so it happens in that write's callback; and bytes that came with the upgrade are HTTP/2
 * already, so they go back on the socket first.
 */
import type { IncomingMessage } from 'node:http';
import { type ClientHttp2Session, connect } from 'node:http2';
import type { Socket } from 'node:net';
import { AppError, toEnvelope } from '@subcloud/contract/errors';
import {
  LINK_HEADERS,
  LINK_MAX_HEADER_BYTES,
  LINK_PATH,
  LINK_UPGRADE,
  LINK_VERSIONS,
  type LinkTranscript,
} from '@subcloud/contract/link';
import { dropBuffered, joinBuffered } from '@subcloud/kit/buffered-bytes';
import { commonVersion, versionFault, versionRange } from '@subcloud/contract/versions';
import { nodeAddress } from '../front/client-address.ts';
import type { CertificateKeeper, GatewayKeys } from './gateway-identity.ts';
import { NONCE_PATTERN, channelOf, signHello } from './gateway-hello.ts';
import type { RefusedLink } from './refused-links.ts';

const NODE_ID = /^nod_[0-9a-z]{1,64}$/;
const WINDOW_BYTES = 1_048_576;
const MAX_SESSION_MEMORY_MB = 64;

export interface UpgradedSocket {
  readonly session: ClientHttp2Session;
  readonly socket: Socket;
  /** Of the node, canonical. */
  readonly address: string;
  readonly transcript: LinkTranscript;
}

export interface UpgradeOptions {
  readonly keys: GatewayKeys;
  readonly certificates: CertificateKeeper;
  readonly onSession: (upgraded: UpgradedSocket) => void;
  /** Of who names itself a node and speaks no version in common; nothing of it is proved. */
  readonly onRefused?: (refused: RefusedLink) => void;
}

/** Takes the arguments of node:http's `upgrade` event. Never throws: whatever is wrong closes the socket. */
export function acceptUpgrade(request: IncomingMessage, socket: Socket, head: Buffer, options: UpgradeOptions): void {
  socket.on('error', () => socket.destroy());
  let accepted: { readonly answer: string; readonly transcript: LinkTranscript };
  let address: string;
  try {
    address = nodeAddress(socket);
    accepted = answerOf(request, socket, options);
  } catch (error) {
    return refuse(socket, AppError.from(error));
  }
  const { answer, transcript } = accepted;
  socket.setTimeout(0);
  socket.setNoDelay(true);
  // Sockets of an HTTP server stay half open: without this, the FIN of an agent that was killed goes unnoticed by HTTP/2.
  socket.allowHalfOpen = false;
  socket.write(answer, (failure) => {
    const failed = failure !== null && failure !== undefined;
    if (failed || socket.destroyed || !socket.writable || !socket.readable) return void socket.destroy();
    if (head.byteLength > 0) socket.unshift(head);
    joinBuffered(socket);
    const session = openSession(socket);
    // A session whose socket ended between write and callback is born destroyed.
    if (session.destroyed) {
      dropBuffered(socket);
      return void socket.destroy();
    }
    // Whoever hears of it may refuse it at once: only after it has been handed what the socket held.
    process.nextTick(() => {
      if (session.destroyed) socket.destroy();
      else options.onSession({ session, socket, address, transcript });
    });
  });
}

function answerOf(
  request: IncomingMessage,
  socket: Socket,
  options: UpgradeOptions,
): { readonly answer: string; readonly transcript: LinkTranscript } {
  const { headers } = request;
  if (request.url !== LINK_PATH || request.method !== 'GET' || headers.upgrade !== LINK_UPGRADE) {
    throw new AppError('client.not_found');
  }
  const nodeId = headers[LINK_HEADERS.node];
  const version = agreedVersion(headers, (says) => {
    if (typeof nodeId === 'string' && NODE_ID.test(nodeId))
      options.onRefused?.({ node: nodeId, why: 'version', address: nodeAddress(socket), says });
  });
  const agentNonce = headers[LINK_HEADERS.agentNonce];
  if (typeof nodeId !== 'string' || !NODE_ID.test(nodeId) || typeof agentNonce !== 'string') {
    throw new AppError('client.invalid_request', { message: 'The link request lacks node or nonce.' });
  }
  if (!NONCE_PATTERN.test(agentNonce)) {
    throw new AppError('client.invalid_request', { message: 'The nonce has another form.' });
  }
  const channel = channelOf(socket);
  if (channel === undefined) {
    throw new AppError('platform.version_unsupported', { message: 'A link needs TLS 1.3.' });
  }
  const signed = signHello(options.keys, options.certificates, 'gateway', { nodeId, agentNonce, channel }, version);
  if (signed === undefined) throw new AppError('platform.starting');
  const hello = Buffer.from(JSON.stringify(signed.hello)).toString('base64url');
  const answer = `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${LINK_UPGRADE}\r\n${LINK_HEADERS.gateway}: ${hello}\r\n\r\n`;
  return { answer, transcript: signed.transcript };
}

/** Throws platform.version_unsupported with both sides' versions and whose turn it is. */
function agreedVersion(headers: IncomingMessage['headers'], onRefused: (says: string) => void): number {
  const agent = versionRange(headers[LINK_HEADERS.version], headers[LINK_HEADERS.oldest]);
  if (agent === undefined)
    throw new AppError('platform.version_unsupported', { message: 'The link names no version.' });
  const version = commonVersion(agent, LINK_VERSIONS);
  if (version !== undefined) return version;
  const fault = versionFault(
    'link',
    { name: 'the agent', range: agent },
    { name: 'this gateway', range: LINK_VERSIONS },
  );
  onRefused(fault.message);
  throw new AppError('platform.version_unsupported', fault);
}

function openSession(socket: Socket): ClientHttp2Session {
  const session = connect('http://node', {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: WINDOW_BYTES, maxHeaderListSize: LINK_MAX_HEADER_BYTES },
    maxReservedRemoteStreams: 0,
    maxHeaderListPairs: 64,
    maxSettings: 16,
    maxOutstandingPings: 4,
    maxSessionMemory: MAX_SESSION_MEMORY_MB,
  });
  session.on('error', () => session.destroy());
  // An agent opens no streams here: it is the server of this session.
  session.on('stream', (stream) => stream.destroy());
  return session;
}

function refuse(socket: Socket, error: AppError): void {
  const body = JSON.stringify(toEnvelope(error));
  socket.end(
    `HTTP/1.1 ${error.status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

/**
 * Control for gateways on other machines: one port, TLS 1.3, and the three protocols of contract/control-channel.ts, told
 * apart by ALPN. The listener's key is named by a document of the network's chain, which a gateway checks before it says
 * anything; a gateway is the key that its certificate proves, and is looked up anew for every request, so that one that
 * was removed is refused on the connections that it has.
 *
 * Anybody may reach the port. A stranger can look up who this is and try a gateway token, on few connections and for a
 * bounded time each; what is no TLS, or speaks no protocol of ours, is cut in the handshake.
 */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { type TLSSocket, type Server as TlsServer, createServer as createTlsServer } from 'node:tls';
import {
  CONTROL_ALPN,
  CONTROL_HANDSHAKE_TIMEOUT_MS,
  CONTROL_PATHS,
  type ControlProtocol,
  type GatewayEnrolmentRequest,
  type GatewayEnrolmentResponse,
  gatewayEnrolmentRequest,
} from '@subcloud/contract/control-channel';
import { CONTROL_CERTIFICATE_VALID_MS, type SignedDocument } from '@subcloud/contract/documents';
import { AppError } from '@subcloud/contract/errors';
import type { Clock } from '@subcloud/kit/clock';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import type { Log } from '@subcloud/kit/log';
import { listenFault } from '@subcloud/kit/start-error';
import { type TlsCertificate, ed25519KeyOf, makeTlsCertificate, tlsKeySha256 } from '@subcloud/kit/tls-certificate';
import type { Authority } from '../authority.ts';
import type { World } from '../world/world.ts';
import { gatewayOfKey } from './gateway-peer.ts';
import { readBody } from './read-body.ts';
import { type WatchHandler, sendFault } from './server.ts';

export interface GatewayListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly world: World;
  readonly authority: Authority;
  readonly clock: Clock;
  readonly log: Log;
  readonly watch: WatchHandler;
  /** The control API as callers see it. */
  readonly api: Server;
  readonly enrol: (request: GatewayEnrolmentRequest, publicKey: string) => Promise<GatewayEnrolmentResponse>;
}

export interface GatewayListener {
  readonly port: number;
  /** Ends every connection of this key. */
  cut(publicKey: string): void;
  close(): Promise<void>;
}

/** Connections of those who have not proved the key of a known gateway. */
const MAX_STRANGERS = 256;
const MAX_CONNECTIONS = 8_192;
const MAX_ENROLMENT_BYTES = 16_384;
const STRANGER_IDLE_MS = 15_000;

export async function startGatewayListener(options: GatewayListenerOptions): Promise<GatewayListener> {
  const tls = tlsOf(options.dataDir, options.clock);
  const open = new Map<Socket, string | undefined>();
  const servers = protocolServers(options, tlsKeySha256(tls.certificate));
  const strangers = { count: 0 };
  const server = createTlsServer(
    {
      key: tls.privateKey,
      cert: tls.certificate,
      minVersion: 'TLSv1.3',
      ALPNProtocols: Object.values(CONTROL_ALPN),
      handshakeTimeout: CONTROL_HANDSHAKE_TIMEOUT_MS,
      requestCert: true,
      // No authority signs gateways' certificates: their keys are compared with those that control knows.
      rejectUnauthorized: false,
    },
    (socket) => accept(options, servers, open, strangers, socket),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on('tlsClientError', (error, socket) => {
    options.log.debug({ err: error, address: socket.remoteAddress }, 'a connection to the port of gateways failed');
    socket.destroy();
  });
  await listen(server, options);
  return {
    port: (server.address() as AddressInfo).port,
    cut(publicKey) {
      for (const [socket, key] of open) if (key === publicKey) socket.destroy();
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open.keys()) socket.destroy();
      await closed;
    },
  };
}

const protocolOf = new Map(
  Object.entries(CONTROL_ALPN).map(([name, alpn]) => [alpn as string, name as ControlProtocol]),
);

function accept(
  { world, log }: GatewayListenerOptions,
  servers: Readonly<Record<ControlProtocol, Server>>,
  open: Map<Socket, string | undefined>,
  strangers: { count: number },
  socket: TLSSocket,
): void {
  socket.on('error', () => socket.destroy());
  const protocol = protocolOf.get(socket.alpnProtocol === false ? '' : (socket.alpnProtocol ?? ''));
  if (protocol === undefined) return void socket.destroy();
  const key = provenKey(socket);
  if (!isKnown(world, key)) {
    if (strangers.count >= MAX_STRANGERS) {
      log.warn({ address: socket.remoteAddress }, 'too many unknown connections to the port of gateways');
      return void socket.destroy();
    }
    strangers.count += 1;
    socket.once('close', () => (strangers.count -= 1));
    socket.setTimeout(STRANGER_IDLE_MS, () => socket.destroy());
  }
  open.set(socket, key);
  socket.once('close', () => open.delete(socket));
  socket.setNoDelay(true);
  servers[protocol].emit('connection', socket);
}

/** One HTTP server a protocol: a connection of one never reaches the routes of another. */
function protocolServers(
  options: GatewayListenerOptions,
  ownKeySha256: string,
): Readonly<Record<ControlProtocol, Server>> {
  const { world, watch } = options;
  const limits = { maxHeaderSize: 16_384, headersTimeout: 10_000, requestTimeout: 0 };
  const vouch = vouchFor(options, ownKeySha256);
  return {
    identity: createServer({ ...limits, requestTimeout: 10_000, keepAliveTimeout: 5_000 }, (request, response) => {
      identify(options, vouch, request, response).catch((error: unknown) => {
        if (response.headersSent) response.destroy();
        else sendFault(response, AppError.from(error));
      });
    }),
    watch: createServer(limits, (request, response) =>
      watch.listener({ by: 'tls', publicKey: provenKey(request.socket as TLSSocket) })(request, response),
    ),
    api: createServer({ ...limits, requestTimeout: 60_000 }, (request, response) => {
      try {
        gatewayOfKey(world, provenKey(request.socket as TLSSocket));
      } catch (error) {
        request.resume();
        return sendFault(response, AppError.from(error));
      }
      options.api.emit('request', request, response);
    }),
  };
}

async function identify(
  options: GatewayListenerOptions,
  vouch: () => SignedDocument,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const answer = (status: number, value: unknown): void =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  switch (`${request.method} ${request.url}`) {
    case `GET ${CONTROL_PATHS.identity}`:
      return answer(200, { chain: options.authority.chain(), certificate: vouch() });
    case `POST ${CONTROL_PATHS.enrol}`: {
      const publicKey = provenKey(request.socket as TLSSocket);
      if (publicKey === undefined)
        throw new AppError('policy.gateway_refused', { message: 'The connection showed no gateway key (Ed25519).' });
      const asked = await readBody(request, gatewayEnrolmentRequest, MAX_ENROLMENT_BYTES);
      return answer(201, await options.enrol(asked, publicKey));
    }
    default:
      throw new AppError('client.not_found');
  }
}

/** The document that names this listener's key, signed anew at half its life or by a new signing key: not for each stranger. */
function vouchFor({ authority, clock }: GatewayListenerOptions, keySha256: string): () => SignedDocument {
  let made: { document: SignedDocument; signer: string; atMs: number } | undefined;
  return () => {
    const nowMs = clock.nowMs();
    const { signingKey } = authority;
    if (made === undefined || made.signer !== signingKey || nowMs - made.atMs > CONTROL_CERTIFICATE_VALID_MS / 2)
      made = { document: authority.signControl({ tlsKeySha256: keySha256 }), signer: signingKey, atMs: nowMs };
    return made.document;
  };
}

/** TLS has checked that the other end holds this key. */
function provenKey(socket: TLSSocket): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? undefined : ed25519KeyOf(certificate);
}

function isKnown(world: World, key: string | undefined): boolean {
  try {
    gatewayOfKey(world, key);
    return true;
  } catch {
    return false;
  }
}

function tlsOf(dataDir: string, clock: Clock): TlsCertificate {
  const certificatePath = join(dataDir, 'control-tls.pem');
  const keyPath = join(dataDir, 'control-tls.key');
  const certificate = readFileIfPresent(certificatePath);
  const privateKey = readFileIfPresent(keyPath);
  if (certificate !== undefined && privateKey !== undefined) return { certificate, privateKey };
  const made = makeTlsCertificate(['localhost'], clock.nowMs());
  // The certificate last: where it stands, its key does too.
  writeFileDurably(keyPath, made.privateKey);
  writeFileDurably(certificatePath, made.certificate);
  return made;
}

async function listen(server: TlsServer, { host, port }: GatewayListenerOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(listenFault(`The port of gateways, ${host}:${port},`, error, '--gateways-port'));
    });
    server.listen(port, host, resolve);
  });
}

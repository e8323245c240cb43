/**
 * The public port. Plain HTTP on loopback only; anywhere else TLS, with the given certificate or one that the gateway
 * makes once and keeps; behind proxies both, as front/proxied-server.ts says. Limits are set so that a slow or silent peer
 * costs a bounded time, while a stream may last.
 */
import { type RequestListener, type Server, type ServerOptions, type ServerResponse, createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, type Server as NetServer, type Socket, createServer as createDoor } from 'node:net';
import type { Duplex } from 'node:stream';
import { type TlsOptions, createServer as createTlsHandshakes } from 'node:tls';
import { AppError, toEnvelope } from '@subcloud/contract/errors';
import { LINK_MAX_HEADER_BYTES } from '@subcloud/contract/link';
import type { Clock } from '@subcloud/kit/clock';
import { openFileLimit } from '@subcloud/kit/open-file-limit';
import { listenFault } from '@subcloud/kit/start-error';
import { type TlsCertificate, tlsKeySha256 } from '@subcloud/kit/tls-certificate';
import type { GatewayConfig } from './config.ts';
import { createProxiedServer } from './front/proxied-server.ts';
import { tlsOf } from './front/tls-files.ts';
import { trustedProxies } from './front/trusted-proxies.ts';

const SERVER_OPTIONS: ServerOptions = {
  headersTimeout: 15_000,
  /** For the whole request to arrive; says nothing of how long its answer may take. */
  requestTimeout: 300_000,
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 5_000,
  maxHeaderSize: LINK_MAX_HEADER_BYTES,
  noDelay: true,
};

export interface PublicServer {
  /** Where requests come out; what listens is not always the same. */
  readonly http: Server;
  readonly secure: boolean;
  /** SHA-256 of the TLS key, hex; null in plain. */
  readonly tlsKeySha256: string | null;
  /** PEM of the certificate that it shows; null in plain. */
  readonly certificateFile: string | null;
  /** Resolves with the port. Rejects with a readable message when it cannot be had. */
  listen(): Promise<number>;
  /** A port beside it that leads to the same server, and counts against the same limit. Resolves with the port. */
  listenAlso(port: number): Promise<number>;
  /** Takes nothing new; resolves when every connection has ended. */
  close(): Promise<void>;
  closeAllConnections(): void;
}

/** Makes the server without listening yet. Throws when the TLS files cannot be read. */
export function createPublicServer(config: GatewayConfig, clock: Clock): PublicServer {
  const tls = tlsOf(config, clock);
  const shape = {
    secure: tls !== undefined,
    tlsKeySha256: tls === undefined ? null : tlsKeySha256(tls.certificate),
    certificateFile: tls?.certificateFile ?? null,
  };
  if (config.behindProxy !== undefined && tls !== undefined) return { ...shape, ...behindProxies(config, tls, clock) };
  const server =
    tls === undefined ? createServer(SERVER_OPTIONS) : createTlsServer({ ...SERVER_OPTIONS, ...handshakeOptions(tls) });
  return { ...shape, ...listening(server, server, config), closeAllConnections: () => server.closeAllConnections() };
}

function behindProxies(
  config: GatewayConfig,
  certificate: TlsCertificate,
  clock: Clock,
): ReturnType<typeof listening> & Pick<PublicServer, 'closeAllConnections'> {
  const http = createServer(SERVER_OPTIONS);
  const proxied = createProxiedServer({
    http,
    tls: createTlsHandshakes(handshakeOptions(certificate)),
    proxies: trustedProxies(config.behindProxy ?? ''),
    clock,
  });
  return {
    ...listening(proxied.outer, http, config),
    closeAllConnections() {
      proxied.closeAllConnections();
      http.closeAllConnections();
    },
  };
}

function handshakeOptions(certificate: TlsCertificate): TlsOptions {
  return {
    cert: certificate.certificate,
    key: certificate.privateKey,
    minVersion: 'TLSv1.2',
    handshakeTimeout: 10_000,
    ALPNProtocols: ['http/1.1'],
  };
}

/** Of the open files: the journal, certificates, control, logs. Callers must not be able to take those, too. */
const RESERVED_FILES = 64;

/** How many connections may be open at once. */
export function connectionsWithin(wanted: number, openFiles: number | undefined): number {
  if (openFiles === undefined) return wanted;
  return Math.max(1, Math.min(wanted, openFiles - Math.min(RESERVED_FILES, Math.floor(openFiles / 2))));
}

function listening(
  outer: NetServer,
  http: Server,
  config: GatewayConfig,
): Pick<PublicServer, 'http' | 'listen' | 'listenAlso' | 'close'> {
  const maxConnections = connectionsWithin(config.maxConnections, openFileLimit());
  outer.maxConnections = maxConnections;
  refuseMalformed(http);
  const doors: NetServer[] = [];
  return {
    http,
    listen: () => listen(outer, config, config.port, { option: '--port', reusePort: config.ownPort !== undefined }),
    listenAlso(port) {
      const door = doorInto(outer, maxConnections);
      doors.push(door);
      return listen(door, config, port, { option: '--worker-port', reusePort: false });
    },
    async close() {
      const closed = [outer, ...doors].map(
        (server) =>
          new Promise<void>((resolved) => {
            server.close(() => resolved());
          }),
      );
      http.closeIdleConnections();
      await Promise.all(closed);
    },
  };
}

/** Both together take at most `maxConnections`: what one holds, the other does not take. */
function doorInto(outer: NetServer, maxConnections: number): NetServer {
  let all = 0;
  let here = 0;
  outer.on('connection', (socket: Socket) => {
    all += 1;
    socket.once('close', () => (all -= 1));
  });
  return createDoor({ noDelay: true, allowHalfOpen: true }, (socket) => {
    if (all >= maxConnections) return void socket.destroy();
    here += 1;
    outer.maxConnections = Math.max(1, maxConnections - here);
    socket.once('close', () => {
      here -= 1;
      outer.maxConnections = Math.max(1, maxConnections - here);
    });
    outer.emit('connection', socket);
  });
}

function listen(
  server: NetServer,
  { host }: GatewayConfig,
  port: number,
  { option, reusePort }: { readonly option: string; readonly reusePort: boolean },
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenFault(`${host}:${port}`, error, option)));
    server.listen({ port, host, reusePort }, () => resolve((server.address() as AddressInfo).port));
  });
}

export type UpgradeListener = (request: Parameters<RequestListener>[0], socket: Socket, head: Buffer) => void;

export function onUpgrade(server: Server, listener: UpgradeListener): void {
  server.on('upgrade', (request, socket: Duplex, head: Buffer) => listener(request, socket as Socket, head));
}

/**
 * What is no HTTP gets an answer of the same shape as everything else, and no second chance. Nothing is said behind an
 * answer that closes its connection, nor before one that is still to come: a caller would take it for the answer to that.
 */
function refuseMalformed(http: Server): void {
  const answers = new WeakMap<Duplex, ServerResponse>();
  http.on('request', ({ socket }, response) => void answers.set(socket, response));
  http.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
    const last = answers.get(socket);
    // What a request's own body gets wrong is answered as that request.
    const isOfLast = last?.req.complete === false && !last.headersSent;
    if (last !== undefined && !last.writableEnded && !isOfLast) return void socket.destroy();
    if (last?.writableEnded === true && !last.shouldKeepAlive) return void socket.end();
    const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
    const appError = new AppError(tooLarge ? 'client.headers_too_large' : 'client.invalid_request');
    const body = JSON.stringify(toEnvelope(appError));
    socket.end(
      `HTTP/1.1 ${appError.status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  });
}

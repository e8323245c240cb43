/**
 * The public port. Plain HTTP on loopback only; anywhere else TLS, with the given certificate or one that the gateway
 * makes once and keeps; behind proxies both, as front/proxied-server.ts says. Limits are set so that a slow or silent peer
 * costs a bounded time, while a stream may last.
 */
import { readFileSync } from 'node:fs';
import { type RequestListener, type Server, type ServerOptions, createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { type TlsOptions, createServer as createTlsHandshakes } from 'node:tls';
import { AppError, toEnvelope } from '@subcloud/contract/errors';
import { LINK_MAX_HEADER_BYTES } from '@subcloud/contract/link';
import type { Clock } from '@subcloud/kit/clock';
import { openFileLimit } from '@subcloud/kit/open-file-limit';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import { type TlsCertificate, makeTlsCertificate, tlsKeySha256 } from '@subcloud/kit/tls-certificate';
import { type GatewayConfig, isLoopback } from './config.ts';
import { createProxiedServer } from './front/proxied-server.ts';
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
): Pick<PublicServer, 'http' | 'listen' | 'close'> {
  outer.maxConnections = connectionsWithin(config.maxConnections, openFileLimit());
  http.on('clientError', refuseMalformed);
  return {
    http,
    listen: () => listen(outer, config),
    close: () =>
      new Promise((resolved) => {
        outer.close(() => resolved());
        http.closeIdleConnections();
      }),
  };
}

function listen(server: NetServer, config: GatewayConfig): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE';
      const why = taken
        ? 'is taken by another program; choose another with --port'
        : `cannot be used: ${error.message}`;
      reject(new Error(`${config.host}:${config.port} ${why}`));
    });
    server.listen(config.port, config.host, () => resolve((server.address() as AddressInfo).port));
  });
}

export type UpgradeListener = (request: Parameters<RequestListener>[0], socket: Socket, head: Buffer) => void;

export function onUpgrade(server: Server, listener: UpgradeListener): void {
  server.on('upgrade', (request, socket: Duplex, head: Buffer) => listener(request, socket as Socket, head));
}

interface FiledCertificate extends TlsCertificate {
  readonly certificateFile: string;
}

function tlsOf(config: GatewayConfig, clock: Clock): FiledCertificate | undefined {
  const { tlsCertificate, tlsKey, host, dataDir } = config;
  if (tlsCertificate !== undefined && tlsKey !== undefined) {
    return {
      certificate: readFileSync(tlsCertificate, 'utf8'),
      privateKey: readFileSync(tlsKey, 'utf8'),
      certificateFile: tlsCertificate,
    };
  }
  if (tlsCertificate !== undefined || tlsKey !== undefined) {
    throw new Error('--tls-certificate and --tls-key belong together: give both or neither');
  }
  // Behind a proxy nodes come with TLS passed through, wherever the proxy runs.
  if (isLoopback(host) && config.behindProxy === undefined) return undefined;
  const certificatePath = join(dataDir, 'gateway-tls.pem');
  const keyPath = join(dataDir, 'gateway-tls.key');
  const certificate = readFileIfPresent(certificatePath);
  const privateKey = readFileIfPresent(keyPath);
  if (certificate !== undefined && privateKey !== undefined) {
    return { certificate, privateKey, certificateFile: certificatePath };
  }
  const named = config.publicUrl === undefined ? [] : [new URL(config.publicUrl).hostname];
  const made = makeTlsCertificate([...new Set([...named, host, 'localhost'])], clock.nowMs());
  // The certificate last: where it stands, its key does too.
  writeFileDurably(keyPath, made.privateKey);
  writeFileDurably(certificatePath, made.certificate);
  return { ...made, certificateFile: certificatePath };
}

/** What is no HTTP gets an answer of the same shape as everything else, and no second chance. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const appError = new AppError(tooLarge ? 'client.headers_too_large' : 'client.invalid_request');
  const body = JSON.stringify(toEnvelope(appError));
  socket.end(
    `HTTP/1.1 ${appError.status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

/**
 * The public port behind proxies: every connection is looked at before it is read as anything. From a trusted proxy it may
 * begin with a PROXY header, and go on in TLS (passed through) or in plain HTTP (the proxy ended the TLS). From anywhere
 * else it is TLS from its first byte, and a PROXY header on it is only malformed TLS: the connection is closed.
 */
import type { Server } from 'node:http';
import { type Server as NetServer, type Socket, createServer } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import type { Clock } from '@subcloud/kit/clock';
import { plainAddress } from '../link/node-link.ts';
import { type Origin, setOrigin } from './client-address.ts';
import { MAX_PROXY_HEADER_BYTES, readProxyHeader } from './proxy-header.ts';
import type { TrustedProxies } from './trusted-proxies.ts';

const FIRST_BYTES_LIMIT_MS = 10_000;
const TLS_HANDSHAKE = 0x16;

export interface ProxiedServer {
  /** Listens and takes connections; requests come out at `http`. */
  readonly outer: NetServer;
  /** Cuts what is not HTTP yet. */
  closeAllConnections(): void;
}

export function createProxiedServer(parts: {
  readonly http: Server;
  /** Shakes hands only; never listens. */
  readonly tls: TlsServer;
  readonly proxies: TrustedProxies;
  readonly clock: Clock;
}): ProxiedServer {
  const { http, tls, proxies, clock } = parts;
  const undecided = new Set<Socket>();
  const shaking = new Map<string, Origin>();
  tls.on('secureConnection', (secured) => {
    const origin = shaking.get(endsOf(secured));
    if (origin === undefined) return void secured.destroy();
    setOrigin(secured, origin);
    http.emit('connection', secured);
  });
  const outer = createServer({ noDelay: true }, (socket) => {
    undecided.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => undecided.delete(socket));
    const address = plainAddress(socket.remoteAddress);
    const isProxy = proxies.has(address);
    firstBytes(socket, { isProxy, clock }, (decision) => {
      const origin = { proxies, address: decision.said ? decision.address : address, said: decision.said };
      if (decision.secure) {
        const ends = endsOf(socket);
        shaking.set(ends, origin);
        socket.once('close', () => shaking.delete(ends));
        tls.emit('connection', socket);
      } else {
        undecided.delete(socket);
        setOrigin(socket, origin);
        http.emit('connection', socket);
      }
    });
  });
  return {
    outer,
    closeAllConnections() {
      for (const socket of undecided) socket.destroy();
    },
  };
}

interface Decision {
  readonly secure: boolean;
  readonly said: boolean;
  readonly address: string | undefined;
}

/** Reads until it is clear what the connection is, puts back what is not the PROXY header's, and calls `decided` once. */
function firstBytes(
  socket: Socket,
  from: { readonly isProxy: boolean; readonly clock: Clock },
  decided: (decision: Decision) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0);
  const timer = from.clock.after(FIRST_BYTES_LIMIT_MS, () => socket.destroy());
  socket.once('close', () => timer.cancel());
  const onData = (chunk: Buffer): void => {
    bytes = bytes.byteLength === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const header = from.isProxy ? readProxyHeader(bytes) : ({ kind: 'none' } as const);
    if (header.kind === 'malformed') return void socket.destroy();
    // Bounded by the parser too: an incomplete header is never longer than this.
    if (header.kind === 'incomplete')
      return bytes.byteLength > MAX_PROXY_HEADER_BYTES ? void socket.destroy() : undefined;
    const rest = header.kind === 'header' ? bytes.subarray(header.lengthBytes) : bytes;
    const [first] = rest;
    if (first === undefined) return undefined;
    const secure = first === TLS_HANDSHAKE;
    if (!secure && !from.isProxy) return void socket.destroy();
    timer.cancel();
    socket.off('data', onData);
    socket.pause();
    socket.unshift(rest);
    const said = header.kind === 'header';
    decided({ secure, said, address: said ? header.address : undefined });
    process.nextTick(() => socket.resume());
  };
  socket.on('data', onData);
}

/** What tells one live connection from all others, also of other local ports: a proxy may use one source port towards two. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

/**
 * One connection to a gateway, and what binds signatures to it. TLS 1.3 everywhere but on loopback. No certificate
 * authority is asked: whether the far end is the right one is decided by the network's chain and by the key that the
 * gateway's certificate names (gateway-hello.ts), before anything of value is sent.
 */
import { createHash } from 'node:crypto';
import { type Socket, connect as connectPlain, isIP } from 'node:net';
import { TLSSocket, connect as connectTls } from 'node:tls';
import {
  LINK_EXPORTER_BYTES,
  LINK_EXPORTER_LABEL,
  LINK_HANDSHAKE_TIMEOUT_MS,
  LINK_PLAIN_CHANNEL,
} from '@subcloud/contract/link';
import type { Clock } from '@subcloud/kit/clock';
import { LinkError } from './link-error.ts';

export interface Channel {
  /** Hex of the exported keying material, or LINK_PLAIN_CHANNEL. */
  readonly binding: string;
  /** SHA-256 of the far end's subject public key info, hex; null in plain. */
  readonly tlsKeySha256: string | null;
}

export interface OpenedSocket {
  readonly socket: Socket;
  readonly channel: Channel;
}

export interface DialOptions {
  readonly clock: Clock;
  /** Source address; default: the system's choice. */
  readonly localAddress?: string | undefined;
  readonly signal: AbortSignal;
}

/** Connects, and with https shakes hands. Throws LinkError. Whoever calls owns the socket. */
export async function openSocket(url: URL, options: DialOptions): Promise<OpenedSocket> {
  const { clock, signal } = options;
  const secure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (!secure && !isLoopbackName(host)) {
    throw new LinkError(
      `${url.origin} is not on this machine, so it must be https: a plain link would show the join token and every prompt to whoever is in between`,
      'refused',
    );
  }
  const to = {
    host,
    port: Number(url.port || (secure ? 443 : 80)),
    ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
  };
  const socket = secure
    ? connectTls({
        ...to,
        ...(isIP(host) === 0 ? { servername: host } : {}),
        // The chain decides, not a certificate authority.
        rejectUnauthorized: false,
        minVersion: 'TLSv1.3',
        ALPNProtocols: ['http/1.1'],
      })
    : connectPlain(to);
  const stop = (): void => {
    socket.destroy(new LinkError('stopped'));
  };
  signal.addEventListener('abort', stop, { once: true });
  const timeout = clock.after(LINK_HANDSHAKE_TIMEOUT_MS, () => {
    socket.destroy(new LinkError(`${url.host} did not answer within ${LINK_HANDSHAKE_TIMEOUT_MS} ms`));
  });
  try {
    if (signal.aborted) throw new LinkError('stopped');
    // The listener for errors stays for good: a socket that fails after this is seen by its close.
    await new Promise<void>((resolve, reject) => {
      socket.once(secure ? 'secureConnect' : 'connect', resolve);
      socket.on('error', reject);
      socket.once('close', () => reject(new LinkError(`${url.host} closed the connection`)));
    });
    socket.setNoDelay(true);
    // A name that stands for loopback is checked again by the address it led to.
    if (!secure && !isLoopbackName(socket.remoteAddress ?? '')) {
      throw new LinkError(`${host} does not lead to this machine, so it must be https`, 'refused');
    }
    return { socket, channel: channelOf(socket) };
  } catch (error) {
    socket.destroy();
    if (error instanceof LinkError) throw error;
    throw new LinkError(`${url.host} cannot be reached: ${error instanceof Error ? error.message : 'unknown'}`);
  } finally {
    timeout.cancel();
    signal.removeEventListener('abort', stop);
  }
}

function channelOf(socket: Socket): Channel {
  if (!(socket instanceof TLSSocket)) return { binding: LINK_PLAIN_CHANNEL, tlsKeySha256: null };
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw new LinkError('the gateway showed no TLS certificate');
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return {
    binding: socket.exportKeyingMaterial(LINK_EXPORTER_BYTES, LINK_EXPORTER_LABEL, Buffer.alloc(0)).toString('hex'),
    tlsKeySha256: createHash('sha256').update(spki).digest('hex'),
  };
}

function isLoopbackName(host: string): boolean {
  return (
    host === 'localhost' ||
    host === '::1' ||
    (isIP(host) === 4 && host.startsWith('127.')) ||
    /^::ffff:127\./i.test(host)
  );
}

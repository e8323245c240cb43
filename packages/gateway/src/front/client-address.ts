/**
 * Whose request is this? The socket's other end, unless it is one of the proxies named by `--behind-proxy`: then what that
 * proxy said of it, by PROXY protocol or X-Forwarded-For. Nobody else's word is read. A proxy that says nothing, or
 * nothing sound, leaves the address unknown, and an unknown address is refused rather than guessed.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { AppError } from '@subcloud/contract/errors';
import { plainAddress } from '../link/node-link.ts';
import { type TrustedProxies, canonicalAddress } from './trusted-proxies.ts';

/** How a connection came, where the gateway stands behind proxies. */
export interface Origin {
  readonly proxies: TrustedProxies;
  /** Of the socket's other end, or what a trusted proxy's PROXY header says; undefined: that header names nobody. */
  readonly address: string | undefined;
  /** A trusted proxy said so with a PROXY header. */
  readonly said: boolean;
}

const MAX_FORWARDED_HOPS = 32;
const origins = new WeakMap<Socket, Origin>();

export function setOrigin(socket: Socket, origin: Origin): void {
  origins.set(socket, origin);
}

/**
 * The address of whoever made this request, canonical; empty where its socket is gone. Throws AppError
 * `config.client_address_unknown`. The only source of addresses for limits, lists and records.
 */
export function clientAddress(request: Pick<IncomingMessage, 'socket' | 'headers'>): string {
  const origin = origins.get(request.socket);
  if (origin === undefined) return plainAddress(request.socket.remoteAddress);
  const { address, proxies } = origin;
  if (address === undefined) throw unknown('the PROXY header names no client');
  if (!proxies.has(address)) return address;
  return forwardedFor(request.headers['x-forwarded-for'], proxies);
}

/** The address of a node that dials on this socket: PROXY protocol or the socket's own. Throws as `clientAddress`. */
export function nodeAddress(socket: Socket): string {
  const origin = origins.get(socket);
  if (origin === undefined) return plainAddress(socket.remoteAddress);
  const { address, proxies, said } = origin;
  if (address === undefined) throw unknown('the PROXY header names no client');
  if (!(socket instanceof TLSSocket)) throw unknown('a link needs TLS, passed through');
  if (!said && proxies.has(address)) throw unknown('a link needs the PROXY protocol, with TLS passed through');
  return address;
}

/**
 * Each proxy appends the address that it saw, so the list is believed from its end for as long as the word is a trusted
 * proxy's; the first other address is the client. What stands before that was written by anybody.
 */
function forwardedFor(header: string | string[] | undefined, proxies: TrustedProxies): string {
  const hops = (typeof header === 'string' ? header : '').split(',', MAX_FORWARDED_HOPS + 1);
  if (hops.length > MAX_FORWARDED_HOPS) throw unknown('X-Forwarded-For is longer than any way here');
  let client = '';
  for (const hop of hops.reverse()) {
    const address = hopAddress(hop.trim());
    if (address === undefined) throw unknown('X-Forwarded-For is missing or malformed');
    client = address;
    if (!proxies.has(address)) break;
  }
  return client;
}

/** `1.2.3.4`, `1.2.3.4:5`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:5`. */
function hopAddress(hop: string): string | undefined {
  const [, bracketed, dotted] = /^(?:\[([^\]]+)\](?::\d{1,5})?|([\d.]+):\d{1,5})$/.exec(hop) ?? [];
  return canonicalAddress(bracketed ?? dotted ?? hop);
}

function unknown(why: string): AppError {
  return new AppError('config.client_address_unknown', {
    message: `The proxy in front of this gateway does not say whose request this is: ${why}.`,
  });
}

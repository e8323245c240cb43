/**
 * Who is at the other end of a connection to control, and whether it may speak as the gateway that it names. By the socket
 * in control's folder whoever can open it is a gateway of this network; over TLS it is the holder of the key that the
 * handshake proved, and nobody else, whatever id it names.
 */
import { AppError } from '@subcloud/contract/errors';
import { fingerprintOf } from '@subcloud/kit/signing';
import type { GatewayRecord } from '../world/gateway-record.ts';
import type { World } from '../world/world.ts';

export type GatewayPeer =
  | { readonly by: 'socket' }
  /** The Ed25519 key of its TLS certificate; undefined where it showed none, or one of another kind. */
  | { readonly by: 'tls'; readonly publicKey: string | undefined };

/** The gateway that this key is of. Throws policy.gateway_refused for none, and for one that was removed. */
export function gatewayOfKey(world: World, publicKey: string | undefined): GatewayRecord {
  if (publicKey === undefined)
    throw new AppError('policy.gateway_refused', { message: 'The connection showed no gateway key (Ed25519).' });
  for (const gateway of world.gateways.values()) {
    if (gateway.publicKey !== publicKey || gateway.by !== 'tls') continue;
    if (gateway.removedAtMs !== null) throw removed(gateway);
    return gateway;
  }
  throw new AppError('policy.gateway_refused', {
    message: `No gateway of this network has the key that this connection proved (SHA-256 ${fingerprintOf(publicKey).slice(0, 16)}…).`,
  });
}

/** Throws policy.gateway_refused unless the peer may speak as the gateway `id`. */
export function admitAs(world: World, peer: GatewayPeer, id: string): void {
  if (peer.by === 'tls') {
    const own = gatewayOfKey(world, peer.publicKey);
    if (own.id === id) return;
    throw new AppError('policy.gateway_refused', {
      message: `The key of this connection is that of gateway ${own.id}, not of ${id}.`,
    });
  }
  const known = world.gateways.get(id);
  if (known === undefined) return;
  if (known.removedAtMs !== null) throw removed(known);
  if (known.by === 'tls')
    throw new AppError('policy.gateway_refused', {
      message: `Gateway ${id} is enrolled with a key of its own and reaches control over TLS, not by this socket.`,
    });
}

/** Whether a certificate for `publicKey` may be issued to this peer as `id`. Throws policy.gateway_refused. */
export function admitKey(world: World, peer: GatewayPeer, id: string, publicKey: string): void {
  admitAs(world, peer, id);
  if (peer.by === 'tls') {
    if (peer.publicKey === publicKey) return;
    throw new AppError('policy.gateway_refused', {
      message: 'A certificate is issued for the key that the connection proved and for no other.',
    });
  }
  for (const other of world.gateways.values()) {
    if (other.publicKey === publicKey && other.id !== id)
      throw new AppError('policy.gateway_refused', { message: `This key is that of gateway ${other.id}.` });
  }
}

function removed({ id, removedAtMs }: GatewayRecord): AppError {
  const since = new Date(removedAtMs ?? 0).toISOString();
  return new AppError('policy.gateway_refused', {
    message: `Gateway ${id} was removed from the network at ${since}. Its key never returns: enrol the machine anew from an empty data folder.`,
  });
}

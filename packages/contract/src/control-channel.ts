/**
 * The channel between gateway and control on different machines: TLS 1.3 on a port of control's own, dialled by the
 * gateway. What the watch says (watch.ts) does not change by it; under one folder the same goes over Unix sockets.
 *
 * Three protocols, told apart by ALPN, so that nothing that a caller sends can ever reach what gateways use:
 *
 * - CONTROL_ALPN.identity: anybody. `GET` CONTROL_PATHS.identity answers with the chain and a `control` document that names
 *   the TLS key of the listener. TLS proves that the other end holds that key, so whoever has checked the document
 *   against the fingerprint it was given may believe every connection that shows the same key, until `notAfter`.
 *   `POST` CONTROL_PATHS.enrol takes a gateway token; the gateway's key is the one that its TLS certificate proves.
 * - CONTROL_ALPN.watch: gateways of the network alone, WATCH_PATHS.
 * - CONTROL_ALPN.api: gateways of the network alone, the control API as callers see it, with CLIENT_ADDRESS_HEADER.
 *
 * A gateway's TLS certificate is self-signed with its own Ed25519 key, the one that its gateway certificate names.
 *
 * Versions: 1, 2026-11.
 */
import * as z from 'zod';
import { publicKeyText, signedDocument, trustChain } from './documents.ts';
import { gatewayId } from './watch.ts';

export const CONTROL_ALPN = {
  identity: 'subcloud-identity/1',
  watch: 'subcloud-watch/1',
  api: 'subcloud-api/1',
} as const;
export type ControlProtocol = keyof typeof CONTROL_ALPN;

export const CONTROL_PATHS = { identity: '/identity', enrol: '/gateway-enrolments' } as const;
export const CONTROL_DEFAULT_PORT = 7_710;
export const CONTROL_HANDSHAKE_TIMEOUT_MS = 10_000;

export const controlIdentity = z.strictObject({
  chain: trustChain,
  /** Of type `control`. */
  certificate: signedDocument,
});
export type ControlIdentity = z.infer<typeof controlIdentity>;

export const gatewayEnrolmentRequest = z.strictObject({
  /** The secret of the gateway token, without the fingerprint. */
  token: z.string().max(256),
  /** The id that the gateway has given itself; it is bound to the key from now on. */
  gateway: gatewayId,
});
export type GatewayEnrolmentRequest = z.infer<typeof gatewayEnrolmentRequest>;

export const gatewayEnrolmentResponse = z.strictObject({
  gateway: gatewayId,
  /** The key that was bound: that of the connection. */
  publicKey: publicKeyText,
  networkId: z.string().max(128),
});
export type GatewayEnrolmentResponse = z.infer<typeof gatewayEnrolmentResponse>;

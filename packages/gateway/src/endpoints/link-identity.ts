/** Shows an agent that enrols, before it sends its join token, that this is the network that the token names. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '@subcloud/contract/errors';
import { LINK_IDENTITY_NODE } from '@subcloud/contract/link';
import { NONCE_PATTERN, channelOf, signHello } from '../link/gateway-hello.ts';
import type { CertificateKeeper, GatewayKeys } from '../link/gateway-identity.ts';
import { sendError } from '../request/send-error.ts';
import { sendJson } from './health.ts';

export function sendIdentity(
  request: IncomingMessage,
  response: ServerResponse,
  query: string,
  identity: { readonly keys: GatewayKeys; readonly certificates: CertificateKeeper },
): void {
  const agentNonce = new URLSearchParams(query).get('nonce') ?? '';
  if (!NONCE_PATTERN.test(agentNonce)) {
    return sendError(response, new AppError('client.invalid_request', { param: 'nonce' }));
  }
  const channel = channelOf(request.socket);
  if (channel === undefined) return sendError(response, new AppError('platform.version_unsupported'));
  const peer = { nodeId: LINK_IDENTITY_NODE, agentNonce, channel };
  const signed = signHello(identity.keys, identity.certificates, 'identity', peer);
  if (signed === undefined) return sendError(response, new AppError('platform.starting', { retryAfterS: 1 }));
  sendJson(response, 200, signed.hello);
}

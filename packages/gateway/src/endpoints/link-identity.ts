/** Shows an agent that enrols, before it sends its join token, that this is the network that the token names. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '@subcloud/contract/errors';
import { LINK_IDENTITY_NODE, LINK_VERSIONS } from '@subcloud/contract/link';
import { commonVersion, versionFault, versionRange } from '@subcloud/contract/versions';
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
  const asked = new URLSearchParams(query);
  const agentNonce = asked.get('nonce') ?? '';
  if (!NONCE_PATTERN.test(agentNonce)) {
    return sendError(response, new AppError('client.invalid_request', { param: 'nonce' }));
  }
  // An agent that says nothing of versions is of the first.
  const agent = versionRange(asked.get('link') ?? '1', asked.get('oldest'));
  const version = agent === undefined ? undefined : commonVersion(agent, LINK_VERSIONS);
  if (version === undefined) {
    const fault =
      agent === undefined
        ? {}
        : versionFault('link', { name: 'the agent', range: agent }, { name: 'this gateway', range: LINK_VERSIONS });
    return sendError(response, new AppError('platform.version_unsupported', fault));
  }
  const channel = channelOf(request.socket);
  if (channel === undefined) return sendError(response, new AppError('platform.version_unsupported'));
  const peer = { nodeId: LINK_IDENTITY_NODE, agentNonce, channel };
  const signed = signHello(identity.keys, identity.certificates, 'identity', peer, version);
  if (signed === undefined) return sendError(response, new AppError('platform.starting', { retryAfterS: 1 }));
  sendJson(response, 200, signed.hello);
}

/** The one HTTP/1.1 exchange of a link: asks for the upgrade and hands back what the gateway says of itself. */
import { type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import {
  LINK_HANDSHAKE_TIMEOUT_MS,
  LINK_HEADERS,
  LINK_MAX_HEADER_BYTES,
  LINK_PATH,
  LINK_UPGRADE,
  LINK_VERSIONS,
} from '@subcloud/contract/link';
import type { Clock } from '@subcloud/kit/clock';
import { LinkError } from './link-error.ts';
import { peerRefusal } from './peer-refusal.ts';

const MAX_REFUSAL_BYTES = 16_384;

/**
 * Resolves with the gateway's hello, unchecked, and the socket, on which HTTP/2 comes next; bytes of it that came with
 * the 101 are back on the socket. Throws LinkError, and then the socket is destroyed.
 */
export async function upgrade(
  socket: Socket,
  options: { readonly url: URL; readonly nodeId: string; readonly agentNonce: string; readonly clock: Clock },
): Promise<unknown> {
  const { url, nodeId, agentNonce, clock } = options;
  const timeout = clock.after(LINK_HANDSHAKE_TIMEOUT_MS, () => {
    socket.destroy(new LinkError('the gateway did not answer the upgrade in time'));
  });
  try {
    return await new Promise<unknown>((resolve, reject) => {
      const asking = request({
        createConnection: () => socket,
        method: 'GET',
        path: LINK_PATH,
        host: url.host,
        maxHeaderSize: LINK_MAX_HEADER_BYTES,
        headers: {
          host: url.host,
          connection: 'Upgrade',
          upgrade: LINK_UPGRADE,
          [LINK_HEADERS.version]: String(LINK_VERSIONS.newest),
          [LINK_HEADERS.oldest]: String(LINK_VERSIONS.oldest),
          [LINK_HEADERS.node]: nodeId,
          [LINK_HEADERS.agentNonce]: agentNonce,
        },
      });
      // The answer may come before word that the question is written. HTTP/2 would write over that write, and over TLS
      // that aborts the whole process in native code.
      const written = new Promise<void>((done) => void asking.once('finish', done));
      asking.on('upgrade', (response, _socket, head) => {
        if (head.byteLength > 0) socket.unshift(head);
        try {
          const hello = helloOf(response);
          written.then(() => resolve(hello), reject);
        } catch (error) {
          reject(error as Error);
        }
      });
      asking.on('response', (response) => {
        refusal(response).then(reject, reject);
      });
      asking.on('error', reject);
      socket.once('close', () => reject(new LinkError('the gateway closed the connection')));
      asking.end();
    });
  } catch (error) {
    socket.destroy();
    if (error instanceof LinkError) throw error;
    throw new LinkError(`the upgrade failed: ${error instanceof Error ? error.message : 'unknown'}`);
  } finally {
    timeout.cancel();
  }
}

function helloOf(response: IncomingMessage): unknown {
  if (response.headers.upgrade !== LINK_UPGRADE) throw new LinkError('what answered is no Subcloud gateway');
  const text = response.headers[LINK_HEADERS.gateway];
  if (typeof text !== 'string') throw new LinkError('the gateway said nothing of itself');
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    throw new LinkError('the hello of the gateway is not JSON');
  }
}

/** What a gateway will say to the same node a minute later, too, is `refused`; all else is worth another try soon. */
async function refusal(response: IncomingMessage): Promise<LinkError> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response) {
    const chunk = part as Buffer;
    bytes += chunk.byteLength;
    if (bytes > MAX_REFUSAL_BYTES) break;
    parts.push(chunk);
  }
  let body: unknown;
  try {
    body = JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch {
    // Not ours, or cut off: the status alone must do.
  }
  const { code, text } = peerRefusal(response.statusCode ?? 0, body);
  const lasting = code === 'policy.node_refused' || code === 'platform.version_unsupported';
  return new LinkError(`the gateway refused the link: ${text}`, lasting ? 'refused' : 'failed');
}

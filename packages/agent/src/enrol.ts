/**
 * The first start: who is it that answers, then the join token, on the same connection. Everything is checked before
 * the token is sent, and the node key is on disk before anything is sent, so a crash at any point leaves a machine that
 * enrols again as the same node.
 */
import { LINK_IDENTITY_NODE, LINK_IDENTITY_PATH, LINK_VERSIONS } from '@subcloud/contract/link';
import { enrolmentRoutes } from '@subcloud/contract/routes/enrolment';
import { fingerprintOf, openChain, openSignedByChain, signText } from '@subcloud/kit/signing';
import type { SigningKey } from '@subcloud/kit/signing';
import { hashSecret, parseJoinToken } from '@subcloud/kit/secrets';
import { Client } from './engines/undici-pool.ts';
import { requestJson } from './engines/http-json.ts';
import { type HelloExpectation, checkGatewayHello, newNonce } from './link/gateway-hello.ts';
import { LinkError } from './link/link-error.ts';
import { type DialOptions, openSocket } from './link/open-socket.ts';
import { peerRefusal } from './link/peer-refusal.ts';
import type { NodeState } from './state/node-state.ts';
import { AGENT_VERSION } from './version.ts';

const MAX_ANSWER_BYTES = 4_194_304;
const TIMEOUT_MS = 15_000;

export interface EnrolOptions extends DialOptions {
  readonly url: string;
  readonly joinToken: string;
  readonly name: string;
  readonly key: SigningKey;
}

/** Throws LinkError; of kind `refused` when trying again is no use. */
export async function enrol(options: EnrolOptions): Promise<NodeState> {
  const { clock, signal, key } = options;
  const token = parseJoinToken(options.joinToken);
  if (token === undefined) throw new LinkError('this is no join token, or it was not copied whole', 'refused');
  const url = new URL(options.url);
  const { socket, channel } = await openSocket(url, options);
  let connections = 0;
  const client = new Client(url.origin, {
    // One connection for both questions: what the first one proved of the far end holds for the second.
    // Never within the call: undici is not ready for the answer until it has returned.
    connect: (_options, done) => {
      const first = connections++ === 0;
      queueMicrotask(() => {
        if (first) done(null, socket);
        else done(new LinkError('the connection was lost before enrolment was complete'), null);
      });
    },
    allowH2: false,
  });
  try {
    const nonce = newNonce();
    const limits = { maxBytes: MAX_ANSWER_BYTES, timeoutMs: TIMEOUT_MS, clock, signal };
    const identity = await requestJson(client, {
      method: 'GET',
      path: `${LINK_IDENTITY_PATH}?nonce=${nonce}&link=${LINK_VERSIONS.newest}&oldest=${LINK_VERSIONS.oldest}`,
      ...limits,
    });
    if (identity.status !== 200) throw unidentified(url, identity.status, identity.body);
    const nowMs = clock.nowMs();
    const { fingerprint } = token;
    const nodeId = LINK_IDENTITY_NODE;
    checkIdentity(identity.body, { side: 'identity', nodeId, agentNonce: nonce, channel, fingerprint, nowMs });
    const { path, body, response } = enrolmentRoutes.enrol;
    const asked: typeof body._output = {
      joinToken: token.secret,
      publicKey: key.publicKey,
      name: options.name,
      proof: signText(key, `subcloud/v1/enrol\n${hashSecret(token.secret)}\n${key.publicKey}`),
      agentVersion: AGENT_VERSION,
    };
    const answer = await requestJson(client, { method: 'POST', path, body: asked, ...limits });
    if (answer.status !== enrolmentRoutes.enrol.status) throw refusal(answer.status, answer.body);
    const enrolled = response.safeParse(answer.body);
    if (!enrolled.success) throw new LinkError('the answer to the enrolment has another shape');
    const { node, operator, chain, document } = enrolled.data;
    const opened = openSignedByChain(document, 'node', openChain(chain, fingerprint, nowMs), nowMs);
    if (opened.nodeId !== node || opened.nodeKey !== key.publicKey) {
      throw new LinkError('the network answered with the document of another node');
    }
    return {
      version: 1,
      networkId: chain.networkId,
      fingerprint: fingerprintOf(chain.networkKey),
      nodeId: node,
      operator,
      chain,
      epoch: opened.epoch,
      serial: opened.serial,
      document,
      declarationSerial: 0,
    };
  } catch (error) {
    throw error instanceof LinkError ? error : new LinkError(error instanceof Error ? error.message : String(error));
  } finally {
    socket.destroy();
    await client.destroy().catch(() => {});
  }
}

function unidentified(url: URL, status: number, body: unknown): LinkError {
  const { code, text } = peerRefusal(status, body);
  const lasting = code === 'platform.version_unsupported';
  return new LinkError(`${url.origin} did not say who it is: ${text}`, lasting ? 'refused' : 'failed');
}

/** Whoever cannot prove itself to a new machine is not tried again: the operator must look at URL and token. */
function checkIdentity(hello: unknown, expected: HelloExpectation): void {
  try {
    checkGatewayHello(hello, expected);
  } catch (error) {
    throw new LinkError(`The join token was not sent. ${error instanceof Error ? error.message : ''}`, 'refused');
  }
}

function refusal(status: number, body: unknown): LinkError {
  const lasting = status >= 400 && status < 500 && status !== 429;
  const { text } = peerRefusal(status, body);
  return new LinkError(`the network refused the enrolment: ${text}`, lasting ? 'refused' : 'failed');
}

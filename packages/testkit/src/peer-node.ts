/** An agent as a gateway sees it, for tests of the gateway alone: the link is real, what it answers is the test's. */
import { randomBytes } from 'node:crypto';
import { request as plainRequest } from 'node:http';
import {
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  performServerHandshake,
} from 'node:http2';
import { request as secureRequest } from 'node:https';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import {
  type AgentMessage,
  type GatewayMessage,
  LINK_EXPORTER_BYTES,
  LINK_EXPORTER_LABEL,
  LINK_HEADERS,
  LINK_PATH,
  LINK_REPORT_PATH,
  LINK_UPGRADE,
  type LinkGatewayHello,
  linkGatewayHello,
  linkTranscript,
} from '@subcloud/contract/link';
import { jsonLineReader } from '@subcloud/kit/json-lines';
import { type SigningKey, generateSigningKey, openChain, openSignedByChain, signText } from '@subcloud/kit/signing';

export type NodeHandler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Buffer) => void;

export interface PeerNode {
  readonly id: string;
  readonly key: SigningKey;
  /** Everything that came on the report stream. */
  readonly heard: GatewayMessage[];
  /** Inference requests, in order. */
  readonly requests: { readonly headers: IncomingHttpHeaders; readonly body: Buffer }[];
  readonly hello: LinkGatewayHello;
  /** Resolves with `welcome`, or with the code that the gateway refused by, or `closed`. */
  readonly linked: Promise<string>;
  readonly closed: Promise<void>;
  readonly session: ServerHttp2Session;
  handler: NodeHandler;
  say(message: AgentMessage): void;
  close(): void;
}

export interface PeerNodeOptions {
  readonly url: string;
  readonly id: string;
  readonly key?: SigningKey;
  readonly localAddress?: string;
  /** Hex; where given, the gateway's hello is checked as an agent does. */
  readonly fingerprint?: string;
  readonly handler?: NodeHandler;
  /** False: it says no hello and sends no heartbeats. */
  readonly greets?: boolean;
  /** Signs the hello; default its own key. */
  readonly signsWith?: SigningKey;
  readonly serial?: number;
}

/** Dials. Rejects when the gateway does not answer the upgrade with a 101. */
export async function startPeerNode(options: PeerNodeOptions): Promise<PeerNode> {
  const key = options.key ?? generateSigningKey();
  const agentNonce = randomBytes(32).toString('base64url');
  const { socket, hello } = await dial(options, agentNonce);
  const channel =
    socket instanceof TLSSocket
      ? socket.exportKeyingMaterial(LINK_EXPORTER_BYTES, LINK_EXPORTER_LABEL, Buffer.alloc(0)).toString('hex')
      : 'plain';
  if (options.fingerprint !== undefined) {
    const signers = openChain(hello.chain, options.fingerprint, Date.now());
    openSignedByChain(hello.certificate, 'gateway', signers, Date.now());
  }
  const gatewayKey = (JSON.parse(hello.certificate.body) as { publicKey: string }).publicKey;
  const transcript = { nodeId: options.id, agentNonce, gatewayNonce: hello.nonce, gatewayKey, channel };
  const session = performServerHandshake(socket, { settings: { maxConcurrentStreams: 1_000 } });
  let report: ServerHttp2Stream | undefined;
  const { promise: linked, resolve: link } = Promise.withResolvers<string>();
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const peer: PeerNode = {
    id: options.id,
    key,
    heard: [],
    requests: [],
    hello,
    linked,
    closed,
    session,
    handler: options.handler ?? ((stream) => stream.respond({ ':status': 500 }, { endStream: true })),
    say: (message) => void report?.write(`${JSON.stringify(message)}\n`),
    close: () => socket.destroy(),
  };
  const onReport = (stream: ServerHttp2Stream): void => {
    report = stream;
    stream.respond({ ':status': 200 });
    const reader = jsonLineReader({
      maxLineBytes: 4_194_304,
      onLine(value) {
        const message = value as GatewayMessage;
        peer.heard.push(message);
        if (message.type === 'welcome') link('welcome');
      },
    });
    stream.on('data', (chunk: Buffer) => reader.push(chunk));
    if (options.greets === false) return;
    const signature = signText(options.signsWith ?? key, linkTranscript('agent', transcript));
    const { serial = 0 } = options;
    peer.say({
      type: 'hello',
      publicKey: key.publicKey,
      signature,
      agentVersion: '0',
      epoch: serial === 0 ? 0 : 1,
      serial,
    });
    const beating = setInterval(() => peer.say({ type: 'heartbeat', inFlight: 0 }), 1_000);
    stream.on('close', () => clearInterval(beating));
  };
  session.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    if (headers[':path'] === LINK_REPORT_PATH) return onReport(stream);
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('end', () => {
      const body = Buffer.concat(parts);
      peer.requests.push({ headers, body });
      peer.handler(stream, headers, body);
    });
  });
  session.on('goaway', (_code, _last, data) => link(data === undefined ? 'closed' : Buffer.from(data).toString()));
  session.on('error', () => {});
  session.on('close', () => {
    link('closed');
    close();
  });
  return peer;
}

function dial(options: PeerNodeOptions, agentNonce: string): Promise<{ socket: Socket; hello: LinkGatewayHello }> {
  const url = new URL(options.url);
  const request = url.protocol === 'https:' ? secureRequest : plainRequest;
  return new Promise((resolve, reject) => {
    const asking = request({
      host: url.hostname,
      port: url.port,
      path: LINK_PATH,
      agent: false,
      rejectUnauthorized: false,
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
      headers: {
        connection: 'Upgrade',
        upgrade: LINK_UPGRADE,
        [LINK_HEADERS.version]: '1',
        [LINK_HEADERS.node]: options.id,
        [LINK_HEADERS.agentNonce]: agentNonce,
      },
    });
    asking.on('error', reject);
    asking.on('response', (response) => {
      response.resume();
      reject(new Error(`the gateway answered the upgrade with ${response.statusCode ?? 0}`));
    });
    asking.on('upgrade', (response, socket, head) => {
      if (head.byteLength > 0) socket.unshift(head);
      socket.on('error', () => {});
      const text = Buffer.from(String(response.headers[LINK_HEADERS.gateway]), 'base64url').toString('utf8');
      resolve({ socket, hello: linkGatewayHello.parse(JSON.parse(text)) });
    });
    asking.end();
  });
}

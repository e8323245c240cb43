/** The gateway's end of one link, in the hands of a test: everything the agent says, and requests with any labels. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  connect,
  constants,
} from 'node:http2';
import type { Socket } from 'node:net';
import {
  type AgentMessage,
  type GatewayMessage,
  HEARTBEAT_MS,
  LINK_HEADERS,
  LINK_REPORT_PATH,
  agentMessage,
} from '@subcloud/contract/link';
import type { NodeDeclaration } from '@subcloud/contract/documents';
import type { Clock } from '@subcloud/kit/clock';
import { jsonLine, jsonLineReader } from '@subcloud/kit/json-lines';
import { openDocument, verifyText } from '@subcloud/kit/signing';

export interface PeerRequest {
  readonly pool?: string;
  readonly model?: string;
  readonly path?: string;
  readonly method?: string;
  readonly tableVersion?: number;
  readonly requestId?: string;
  /** An object is sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface PeerAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface PeerLink {
  readonly nodeId: string;
  readonly remoteAddress: string;
  readonly open: boolean;
  readonly messages: readonly AgentMessage[];
  /** The bodies of declarations, checked against the key of the hello. */
  readonly declarations: readonly NodeDeclaration[];
  readonly helloHolds: boolean;
  readonly publicKey: string;
  send(message: GatewayMessage): void;
  /** The first message, past or future, that `matches`. */
  message(matches: (message: AgentMessage) => boolean): Promise<AgentMessage>;
  declaration(matches: (declaration: NodeDeclaration) => boolean): Promise<NodeDeclaration>;
  /** The stream of a request whose body has been sent; for tests that read or abort by themselves. */
  stream(request: PeerRequest): ClientHttp2Stream;
  /** Rejects when the stream breaks before its end. */
  ask(request: PeerRequest): Promise<PeerAnswer>;
  closed: Promise<void>;
  readonly session: ClientHttp2Session;
}

export function openPeerLink(
  socket: Socket,
  options: {
    readonly nodeId: string;
    readonly transcript: string;
    readonly nowMs: () => number;
    readonly clock: Clock;
    readonly silent: boolean;
    readonly onBytes: (text: string) => void;
    readonly onHello: () => void;
  },
): PeerLink {
  const session = connect('http://node', { createConnection: () => socket });
  const messages: AgentMessage[] = [];
  const declarations: NodeDeclaration[] = [];
  let waiting: (() => void)[] = [];
  let open = true;
  let publicKey = '';
  let helloHolds = false;
  session.on('error', () => {});
  const closed = new Promise<void>((resolve) => {
    session.on('close', () => {
      open = false;
      timer.cancel();
      resolve();
    });
  });
  const report = session.request({ ':method': 'POST', ':path': LINK_REPORT_PATH }, { endStream: false });
  const send = (message: GatewayMessage): void => {
    if (!report.destroyed) report.write(jsonLine(message));
  };
  const timer = options.clock.every(HEARTBEAT_MS, () => {
    if (!options.silent) send({ type: 'time', nowMs: options.nowMs() });
  });
  const reader = jsonLineReader({
    maxLineBytes: 4_194_304,
    onLine(value) {
      const message = agentMessage.parse(value);
      messages.push(message);
      if (message.type === 'hello') {
        publicKey = message.publicKey;
        helloHolds = verifyText(publicKey, options.transcript, message.signature);
        options.onHello();
        if (!options.silent) send({ type: 'welcome', nowMs: options.nowMs() });
      }
      if (message.type === 'declaration') declarations.push(openDocument(message.document, 'declaration', publicKey));
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    },
  });
  report.on('error', () => {});
  report.on('data', (chunk: Buffer) => {
    options.onBytes(chunk.toString('utf8'));
    reader.push(chunk);
  });
  const until = async <Found>(look: () => Found | undefined): Promise<Found> => {
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  };
  const start = (request: PeerRequest): ClientHttp2Stream => {
    const { pool = 'global', model = 'm', method = 'POST', path = '/v1/chat/completions' } = request;
    const body = request.body ?? { model, messages: [] };
    const stream = session.request({
      ':method': method,
      ':path': path,
      'content-type': 'application/json',
      [LINK_HEADERS.pool]: pool,
      [LINK_HEADERS.model]: model,
      [LINK_HEADERS.table]: String(request.tableVersion ?? 1),
      [LINK_HEADERS.request]: request.requestId ?? 'req_test',
      ...request.headers,
    });
    stream.on('error', () => {});
    stream.end(typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body));
    return stream;
  };
  return {
    nodeId: options.nodeId,
    remoteAddress: socket.remoteAddress ?? '',
    session,
    messages,
    declarations,
    closed,
    get open() {
      return open;
    },
    get publicKey() {
      return publicKey;
    },
    get helloHolds() {
      return helloHolds;
    },
    send,
    message: (matches) => until(() => messages.find(matches)),
    declaration: (matches) => until(() => declarations.find(matches)),
    stream: start,
    ask: (request) => answerOf(start(request)),
  };
}

/** Reads an answer whole. Rejects when the stream is reset. */
export function answerOf(stream: ClientHttp2Stream): Promise<PeerAnswer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let headers: IncomingHttpHeaders = {};
    stream.on('response', (received) => {
      headers = received;
    });
    stream.on('data', (chunk: Buffer) => parts.push(chunk));
    stream.on('close', () => {
      const text = Buffer.concat(parts).toString('utf8');
      if (stream.rstCode === constants.NGHTTP2_NO_ERROR && headers[':status'] !== undefined) {
        resolve({ status: Number(headers[':status']), headers, text });
      } else reject(new Error(`the stream was reset with ${stream.rstCode} after ${text.length} characters`));
    });
  });
}

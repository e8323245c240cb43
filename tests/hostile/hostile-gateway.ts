/**
 * A gateway whose certificate is good and whose HTTP/2 is not: agents enrol with it and dial it, and from the Upgrade on
 * every frame is written by hand.
 */
import { type IncomingMessage, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { LINK_HEADERS, LINK_UPGRADE } from '@subcloud/contract/link';
import { newId, systemClock } from '@subcloud/kit/clock';
import { joinTokenText, newSecret } from '@subcloud/kit/secrets';
import { generateSigningKey } from '@subcloud/kit/signing';
import { peerAnswers } from '@subcloud/testkit/peer-gateway/peer-answers';
import { peerHellos } from '@subcloud/testkit/peer-gateway/peer-hello';
import { type DocumentWish, createPeerNetwork } from '@subcloud/testkit/peer-gateway/peer-network';
import { FLAG, FRAME, type Frame, FrameReader, PREFACE, frame, headerBlock, settings, uint32 } from './http2-frames.ts';

export interface HostileLink {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  /** DATA that came back, by stream. */
  readonly heard: ReadonlyMap<number, string>;
  /** Streams that the agent has ended or reset. */
  readonly ended: ReadonlySet<number>;
  write(...frames: readonly Buffer[]): void;
  report(text: string | Buffer): void;
  /** The next free stream id. */
  nextStream(): number;
}

export interface HostileGateway extends AsyncDisposable {
  readonly url: string;
  readonly joinToken: string;
  /** The next link that the agent dials; `polite` ones get a welcome. */
  link(polite: boolean): Promise<HostileLink>;
  /** Answers the next Upgrade with these bytes and closes. */
  answerNext(bytes: (hello: string) => Buffer): Promise<void>;
}

export const REPORT_STREAM = 1;
const WISH: DocumentWish = { memberships: [{ pool: 'global', models: ['m'] }] };

export function requestHead(
  stream: number,
  fields: readonly (readonly [string, string])[] = [],
  endStream = false,
): Buffer {
  const head = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', '/v1/chat/completions'],
    [':authority', 'node'],
    ['content-type', 'application/json'],
    [LINK_HEADERS.pool, 'global'],
    [LINK_HEADERS.model, 'm'],
    [LINK_HEADERS.table, '1'],
    [LINK_HEADERS.request, 'req_x'],
  ] as const;
  return frame(
    FRAME.headers,
    FLAG.endHeaders | (endStream ? FLAG.endStream : 0),
    stream,
    headerBlock([...head, ...fields]),
  );
}

export async function startHostileGateway(): Promise<HostileGateway> {
  const network = createPeerNetwork(systemClock);
  const joinSecret = newSecret('join');
  const hellos = peerHellos({
    key: generateSigningKey(),
    gatewayId: newId('gw'),
    network,
    clock: systemClock,
    tlsKeySha256: null,
    lie: () => undefined,
  });
  const answer = peerAnswers({ hellos, network, joinSecret, wish: () => WISH, hear: () => {}, onEnrolment: () => {} });
  const server = createServer(answer);
  const waiting: ((socket: Socket, head: Buffer, hello: string) => void)[] = [];
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const said = hellos(
      'gateway',
      String(request.headers[LINK_HEADERS.node]),
      String(request.headers[LINK_HEADERS.agentNonce]),
      socket,
    );
    const take = waiting.shift();
    if (take === undefined) socket.destroy();
    else take(socket, head, upgradeAnswer(Buffer.from(JSON.stringify(said)).toString('base64url')));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    joinToken: joinTokenText(joinSecret, network.fingerprint),
    link: (polite) =>
      new Promise((resolve) =>
        waiting.push((socket, head, hello) => {
          socket.write(hello);
          const link = takeLink(socket, head, polite, () => resolve(link));
        }),
      ),
    answerNext: (bytes) =>
      new Promise((resolve) =>
        waiting.push((socket, _head, hello) => {
          socket.once('close', () => resolve());
          socket.end(bytes(hello));
          socket.resume();
          setTimeout(() => socket.destroy(), 50);
        }),
      ),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function upgradeAnswer(hello: string): string {
  return `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${LINK_UPGRADE}\r\n${LINK_HEADERS.gateway}: ${hello}\r\n\r\n`;
}

/** `onLinked`: when the agent has said hello (and, where polite, has been welcomed). */
function takeLink(socket: Socket, head: Buffer, polite: boolean, onLinked: () => void): HostileLink {
  const reader = new FrameReader({ preface: false });
  const heard = new Map<number, string>();
  const ended = new Set<number>();
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  let next = REPORT_STREAM;
  const link: HostileLink = {
    socket,
    closed,
    heard,
    ended,
    write: (...frames) => void (socket.destroyed ? undefined : socket.write(Buffer.concat(frames))),
    report: (text) => link.write(frame(FRAME.data, 0, REPORT_STREAM, text)),
    nextStream: () => (next += 2),
  };
  socket.once('close', () => {
    close();
    onLinked();
  });
  const onFrame = ({ type, flags, stream, payload }: Frame): void => {
    if (type === FRAME.settings && (flags & FLAG.ack) === 0) link.write(frame(FRAME.settings, FLAG.ack, 0));
    if (type === FRAME.ping && (flags & FLAG.ack) === 0) link.write(frame(FRAME.ping, FLAG.ack, 0, payload));
    if (type === FRAME.reset || ((type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0))
      ended.add(stream);
    if (type !== FRAME.data) return;
    heard.set(stream, ((heard.get(stream) ?? '') + payload.toString()).slice(-4_096));
    link.write(frame(FRAME.windowUpdate, 0, 0, uint32(Math.max(1, payload.byteLength))));
    if (stream !== REPORT_STREAM || !payload.includes('"hello"')) return;
    if (polite) link.report(`${JSON.stringify({ type: 'welcome', nowMs: systemClock.nowMs() })}\n`);
    onLinked();
  };
  socket.on('data', (chunk: Buffer) => {
    for (const one of reader.push(chunk)) onFrame(one);
  });
  if (head.byteLength > 0) socket.unshift(head);
  link.write(
    PREFACE,
    settings([[4, 1_048_576]]),
    frame(
      FRAME.headers,
      FLAG.endHeaders,
      REPORT_STREAM,
      headerBlock([
        [':method', 'POST'],
        [':scheme', 'http'],
        [':path', '/subcloud/report'],
        [':authority', 'node'],
      ]),
    ),
  );
  return link;
}

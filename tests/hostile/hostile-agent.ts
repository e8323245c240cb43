/** An agent whose key is good and whose HTTP/2 is not: after the Upgrade every frame is written by hand. */
import { randomBytes } from 'node:crypto';
import { type Socket, connect } from 'node:net';
import { LINK_HEADERS, linkTranscript } from '@subcloud/contract/link';
import { type SigningKey, signText } from '@subcloud/kit/signing';
import { FLAG, FRAME, type Frame, FrameReader, frame, headerBlock, settings, uint32 } from './http2-frames.ts';

export interface HostileNode {
  readonly id: string;
  readonly key: SigningKey;
  /** What callers ask for to reach it. */
  readonly model: string;
}

export interface HostileAgent {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  /** Stream ids of requests so far, the report stream apart. */
  readonly requests: number[];
  readonly reportStream: number;
  write(...frames: readonly Buffer[]): void;
  /** Any text on the report stream. */
  report(text: string | Buffer): void;
}

export function upgradeText(nodeId: string, nonce: string): string {
  return [
    'GET /link HTTP/1.1',
    'host: gateway',
    'connection: Upgrade',
    'upgrade: subcloud-link',
    `${LINK_HEADERS.version}: 1`,
    `${LINK_HEADERS.node}: ${nodeId}`,
    `${LINK_HEADERS.agentNonce}: ${nonce}`,
    '',
    '',
  ].join('\r\n');
}

export interface DialOptions {
  readonly port: number;
  readonly node: HostileNode;
  /** Answers SETTINGS and PING as it should; default true. */
  readonly polite?: boolean;
  /** Called for each request, by its stream. */
  readonly onRequest?: (agent: HostileAgent, stream: number) => void;
}

/** Resolves when the gateway has said welcome. Rejects when the socket closes before. */
export async function dialHostile(options: DialOptions): Promise<HostileAgent> {
  const { node, polite = true } = options;
  const nonce = randomBytes(32).toString('base64url');
  const socket = await open(options.port);
  socket.write(upgradeText(node.id, nonce));
  const { head, rest } = await readHead(socket);
  const hello = JSON.parse(Buffer.from(/x-subcloud-gateway: (\S+)/.exec(head)?.[1] ?? '', 'base64url').toString()) as {
    nonce: string;
    certificate: { body: string };
  };
  const gatewayKey = (JSON.parse(hello.certificate.body) as { publicKey: string }).publicKey;
  const transcript = { nodeId: node.id, agentNonce: nonce, gatewayNonce: hello.nonce, gatewayKey, channel: 'plain' };
  const reader = new FrameReader({ preface: true });
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const { promise: welcome, resolve: link, reject } = Promise.withResolvers<void>();
  welcome.catch(() => {});
  socket.once('close', () => {
    close();
    reject(new Error('the gateway closed the link'));
  });
  let reportStream = 0;
  const requests: number[] = [];
  const agent: HostileAgent = {
    socket,
    closed,
    requests,
    get reportStream() {
      return reportStream;
    },
    write: (...frames) => void (socket.destroyed ? undefined : socket.write(Buffer.concat(frames))),
    report: (text) => agent.write(frame(FRAME.data, 0, reportStream, text)),
  };
  const greet = (): void => {
    const message = {
      type: 'hello',
      publicKey: node.key.publicKey,
      signature: signText(node.key, linkTranscript('agent', transcript)),
      agentVersion: '0',
      epoch: 0,
      serial: 0,
    };
    agent.write(frame(FRAME.headers, FLAG.endHeaders, reportStream, headerBlock([[':status', '200']])));
    agent.report(`${JSON.stringify(message)}\n`);
  };
  const onFrame = ({ type, flags, stream, payload }: Frame): void => {
    if (type === FRAME.settings && flags === 0 && polite) agent.write(frame(FRAME.settings, FLAG.ack, 0));
    if (type === FRAME.ping && flags === 0 && polite) agent.write(frame(FRAME.ping, FLAG.ack, 0, payload));
    if (type === FRAME.data && stream === reportStream && payload.includes('"welcome"')) link();
    if (type !== FRAME.headers) return;
    if (reportStream === 0) {
      reportStream = stream;
      greet();
    } else {
      requests.push(stream);
      options.onRequest?.(agent, stream);
    }
  };
  const onData = (chunk: Buffer): void => {
    for (const one of reader.push(chunk)) onFrame(one);
  };
  socket.on('data', onData);
  agent.write(
    settings([
      [3, 1_000],
      [4, 1_048_576],
    ]),
    frame(FRAME.windowUpdate, 0, 0, uint32(0x3fff_ffff)),
  );
  onData(rest);
  await welcome;
  return agent;
}

export function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.once('connect', () => resolve(socket));
    socket.on('error', reject);
  });
}

function readHead(socket: Socket): Promise<{ head: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf('\r\n\r\n');
      if (end === -1) return;
      socket.off('data', onData);
      const head = bytes.toString('latin1', 0, end);
      if (head.startsWith('HTTP/1.1 101')) resolve({ head, rest: bytes.subarray(end + 4) });
      else reject(new Error(`no link: ${head.slice(0, 40)}`));
    };
    socket.on('data', onData);
    socket.once('close', () => reject(new Error('no link: closed')));
  });
}

/**
 * A recorded peer: says the bytes that it said then, frame by frame, each when the other side has come as far as it had when
 * they were recorded. What no replay can say again are answers to what is drawn anew (acknowledgements of pings).
 */
import { once } from 'node:events';
import { type Socket, connect, createServer } from 'node:net';
import { eventually } from '@subcloud/testkit/eventually';
import { FLAG, FRAME, type Frame, FrameReader, PREFACE, frame } from '../hostile/http2-frames.ts';
import type { TapeEntry } from './record/tape.ts';

const HEAD_END = '\r\n\r\n';

/** One connection of a tape, each side's bytes in order. */
export interface Side {
  readonly head: Buffer;
  /** What comes after the head of the upgrade. */
  readonly frames: readonly Frame[];
}

export function connectionsOf(tape: readonly TapeEntry[]): ReadonlyMap<number, readonly TapeEntry[]> {
  return Map.groupBy(tape, ({ connection }) => connection);
}

export function bytesOf(entries: readonly TapeEntry[], from: TapeEntry['from']): Buffer {
  return Buffer.concat(
    entries.filter((entry) => entry.from === from).map(({ base64 }) => Buffer.from(base64, 'base64')),
  );
}

/** The link of the node on the tape that carried most. */
export function linkOf(tape: readonly TapeEntry[], node: string): readonly TapeEntry[] {
  const links = [...connectionsOf(tape).values()].filter((entries) => {
    const text = bytesOf(entries, 'client').toString('latin1');
    return text.startsWith('GET /link HTTP/1.1') && text.includes(node);
  });
  const [longest] = links.sort((one, other) => other.length - one.length);
  if (longest === undefined) throw new Error(`no link of ${node} on the tape`);
  return longest;
}

export function sideOf(entries: readonly TapeEntry[], from: TapeEntry['from']): Side {
  const bytes = bytesOf(entries, from);
  const end = bytes.indexOf(HEAD_END) + HEAD_END.length;
  // The client of HTTP/2 is the gateway, which is the server of the connection.
  const reader = new FrameReader({ preface: from === 'server' });
  return { head: bytes.subarray(0, end), frames: reader.push(bytes.subarray(end)) };
}

export function headerOf(head: Buffer, name: string): string {
  const value = new RegExp(`^${name}: (.+)\r$`, 'im').exec(head.toString('latin1'))?.[1];
  if (value === undefined) throw new Error(`no ${name} in the recorded head`);
  return value;
}

/** What the live side has said so far on this connection. */
class Live {
  readonly frames: Frame[] = [];
  #head = Buffer.alloc(0);
  #reader: FrameReader | undefined;
  readonly #preface: boolean;

  constructor(socket: Socket, preface: boolean) {
    this.#preface = preface;
    socket.on('data', (bytes: Buffer) => this.#push(bytes));
    socket.on('error', () => socket.destroy());
  }

  get head(): string {
    return this.#head.toString('latin1');
  }

  #push(bytes: Buffer): void {
    if (this.#reader !== undefined) return void this.frames.push(...this.#reader.push(bytes));
    this.#head = Buffer.concat([this.#head, bytes]);
    const end = this.#head.indexOf(HEAD_END);
    if (end === -1) return;
    const rest = this.#head.subarray(end + HEAD_END.length);
    this.#head = this.#head.subarray(0, end + HEAD_END.length);
    this.#reader = new FrameReader({ preface: this.#preface });
    this.frames.push(...this.#reader.push(rest));
  }

  hasSettings(): boolean {
    return this.frames.some(({ type, flags }) => type === FRAME.settings && (flags & FLAG.ack) === 0);
  }

  opened(stream: number): boolean {
    return this.frames.some((one) => one.stream === stream && one.type === FRAME.headers);
  }

  /** Of the report stream. */
  lines(type: string): number {
    const text = Buffer.concat(
      this.frames.filter((one) => one.stream === 1 && one.type === FRAME.data).map(({ payload }) => payload),
    );
    return text.toString('utf8').split(`"type":"${type}"`).length - 1;
  }
}

async function say(
  socket: Socket,
  frames: readonly Frame[],
  live: Live,
  mayFollow: (frame: Frame, live: Live) => boolean,
): Promise<void> {
  for (const { type, flags, stream, payload } of frames) {
    const isAck = (flags & FLAG.ack) !== 0;
    if (type === FRAME.ping && isAck) continue;
    if (type === FRAME.goaway) return;
    await eventually(`the live side is where frame ${type} of stream ${stream} followed`, () => {
      if (type === FRAME.settings && isAck) return live.hasSettings();
      return mayFollow({ type, flags, stream, payload }, live);
    });
    socket.write(frame(type, flags, stream, payload));
  }
}

/** The recorded agent dials. Its answers follow when the gateway has opened the stream that they are on. */
export async function replayAgent(
  side: Side,
  to: { readonly port: number; readonly localAddress: string },
): Promise<{ readonly live: Live; readonly said: Promise<void>; end(): void }> {
  const socket = connect({ host: '127.0.0.1', ...to });
  const live = new Live(socket, true);
  await once(socket, 'connect');
  socket.write(side.head);
  await eventually('the upgrade is answered', () => live.head !== '');
  const said = live.head.startsWith('HTTP/1.1 101')
    ? say(socket, side.frames, live, ({ stream }) => stream === 0 || live.opened(stream))
    : Promise.resolve();
  said.catch(() => undefined);
  return { live, said, end: () => void socket.destroy() };
}

/**
 * The recorded gateway listens: answers each connection by the one on the tape that began alike. Requests follow when the agent
 * has acknowledged as many documents as it had then.
 */
export async function replayGateway(tape: readonly TapeEntry[], node: string) {
  const link = linkOf(tape, node);
  const enrolment = [...connectionsOf(tape).values()].find((entries) =>
    bytesOf(entries, 'client').toString('latin1').startsWith('GET /link/identity'),
  );
  const side = sideOf(link, 'server');
  const documents = side.frames.filter(({ payload }) => payload.includes('"type":"document"')).length;
  const links: { readonly live: Live; readonly said: Promise<void> }[] = [];
  const server = createServer((socket) => {
    socket.once('data', (first: Buffer) => {
      const text = first.toString('latin1');
      if (text.startsWith('GET /link/identity')) {
        const answers = (enrolment ?? []).filter(({ from }) => from === 'server');
        socket.write(Buffer.from(answers[0]?.base64 ?? '', 'base64'));
        socket.once('data', () => socket.write(Buffer.from(answers[1]?.base64 ?? '', 'base64')));
        return;
      }
      if (links.length > 0) return void socket.destroy();
      const live = new Live(socket, false);
      socket.emit('data', first);
      socket.write(Buffer.concat([side.head, PREFACE]));
      const said = say(
        socket,
        side.frames,
        live,
        ({ stream }) => stream < 3 || live.lines('document-acknowledged') >= documents,
      );
      said.catch(() => undefined);
      links.push({ live, said });
    });
    socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    links,
    documents,
    requests: side.frames.filter(({ type, stream }) => type === FRAME.headers && stream >= 3).length,
    close: () => server.close(),
  };
}

/** The HTTP/1.1 requests that one side of a connection sent, each whole. */
export function requestsOf(bytes: Buffer): readonly Buffer[] {
  const requests: Buffer[] = [];
  for (let rest = bytes; rest.byteLength > 0; ) {
    const end = rest.indexOf(HEAD_END) + HEAD_END.length;
    const length = /^content-length: (\d+)\r$/im.exec(rest.subarray(0, end).toString('latin1'))?.[1] ?? '0';
    requests.push(rest.subarray(0, end + Number(length)));
    rest = rest.subarray(end + Number(length));
  }
  return requests;
}

/** Sends the bytes of one request; resolves with the status line and what had come by `until`. */
export async function ask(path: string, request: Buffer, until: (answer: string) => boolean): Promise<string> {
  const socket = connect(path);
  let answer = '';
  socket.on('data', (bytes: Buffer) => (answer += bytes.toString('latin1')));
  socket.on('error', () => socket.destroy());
  socket.write(request);
  try {
    await eventually('the request is answered', () => until(answer));
    return answer;
  } finally {
    socket.destroy();
  }
}

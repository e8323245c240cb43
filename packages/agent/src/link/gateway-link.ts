/**
 * One link to one gateway, for as long as the agent lives: dial, check who answers, serve HTTP/2, and after every end
 * dial again with full jitter. A gateway that refuses lastingly is asked again slowly; a gateway that goes silent is
 * dropped by the clock, because a cut TCP connection may say nothing for minutes.
 */
import { type ServerHttp2Session, type ServerHttp2Stream, constants, performServerHandshake } from 'node:http2';
import type { IncomingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import {
  type GatewayMessage,
  HEARTBEATS_MISSED,
  HEARTBEAT_MS,
  LINK_HANDSHAKE_TIMEOUT_MS,
  LINK_MAX_CONCURRENT_STREAMS,
  LINK_MAX_HEADER_BYTES,
  LINK_REPORT_PATH,
  linkTranscript,
} from '@subcloud/contract/link';
import { type Random, jitteredBackoffMs } from '@subcloud/kit/clock';
import { DocumentError, signText } from '@subcloud/kit/signing';
import { AGENT_VERSION } from '../version.ts';
import { type KnownGateway, checkGatewayHello, newNonce } from './gateway-hello.ts';
import type { LinkContext } from './link-context.ts';
import { LinkError } from './link-error.ts';
import { type Channel, openSocket } from './open-socket.ts';
import { type ReportStream, openReportStream } from './report-stream.ts';
import { upgrade } from './upgrade.ts';

const BACKOFF = { baseMs: 250, capMs: 30_000 };
/** A link that held this long was sound: the next loss starts the back-off anew. */
const STABLE_MS = 10_000;
/** Between tries at a gateway that refuses this node: soon once or twice, since a new node may be ahead of the news of it. */
const REFUSED_BACKOFF = { baseMs: 2_000, capMs: 60_000 };
const CLOSE_TIMEOUT_MS = 1_000;
const STREAM_WINDOW_BYTES = 262_144;
const SESSION_WINDOW_BYTES = 4_194_304;
const SESSION_MEMORY_MB = 64;

export interface GatewayLink {
  readonly url: string;
  /** Of the gateway behind this link while it is up. */
  readonly gatewayId: string | undefined;
  /** The gateway has said welcome and the link is up. */
  readonly linked: boolean;
  /** Says again what the node is and permits. */
  declare(): void;
  /** Says that the node takes nothing new. Resolves when the gateway has heard it, or does not answer. */
  announceDrain(): Promise<void>;
  /** Ends the link and dials no more. Resolves when its socket is closed. */
  stop(): Promise<void>;
}

interface Target {
  readonly url: string;
  /** Set where a node document names the gateway: whoever else answers is not it. */
  readonly gatewayId?: string;
}

export function startGatewayLink(target: Target, context: LinkContext): GatewayLink {
  const { clock, random } = context;
  const log = context.log.child({ gateway: target.url });
  const stopping = new AbortController();
  let live: LiveLink | undefined;

  const run = async (): Promise<void> => {
    let attempt = 0;
    let saidWhy = '';
    let knownId = target.gatewayId;
    while (!stopping.signal.aborted) {
      const startedMs = clock.monotonicMs();
      let why: LinkError;
      try {
        if (context.registry.isHeld(knownId)) {
          await context.registry.untilFree(knownId, stopping.signal);
          await clock.sleep(BACKOFF.baseMs * random(), stopping.signal);
        }
        const opened = await openLink(target, context, stopping.signal, (gatewayId) => {
          knownId = gatewayId;
        });
        live = opened;
        if (stopping.signal.aborted) opened.close();
        why = await opened.ended;
      } catch (error) {
        why = error instanceof LinkError ? error : new LinkError(String(error));
      }
      const wasLinked = live?.linkedAtMs !== undefined;
      if (live?.linkedAtMs !== undefined && clock.monotonicMs() - live.linkedAtMs >= STABLE_MS) attempt = 0;
      live = undefined;
      if (stopping.signal.aborted) return;
      const delayMs = retryDelayMs(why, attempt++, random);
      // The same reason over and over is said once, so that a gateway that is away for a night does not fill the disk.
      if (wasLinked || why.message !== saidWhy) {
        log.warn(
          { why: why.message, retryMs: Math.round(delayMs), lastedMs: Math.round(clock.monotonicMs() - startedMs) },
          why.kind === 'refused' ? 'the gateway refuses this node' : 'no link to the gateway',
        );
        saidWhy = why.message;
      }
      await clock.sleep(delayMs, stopping.signal).catch(() => {});
    }
  };
  const running = run();

  return {
    url: target.url,
    get gatewayId() {
      return live?.gatewayId;
    },
    get linked() {
      return live?.linked === true;
    },
    declare: () => live?.declare(),
    announceDrain: async () => live?.announceDrain(),
    async stop() {
      // The last answers are with the gateway, not just in our buffers, before the link is torn down.
      await live?.roundTrip();
      stopping.abort(new LinkError('stopped'));
      live?.close();
      await running;
    },
  };
}

/** Full jitter; a refusal is never asked again at once, whatever chance says. */
function retryDelayMs(why: LinkError, attempt: number, random: Random): number {
  if (why.kind === 'failed') return jitteredBackoffMs(attempt, BACKOFF, random);
  return REFUSED_BACKOFF.baseMs / 2 + jitteredBackoffMs(attempt, REFUSED_BACKOFF, random);
}

interface LiveLink {
  readonly gatewayId: string;
  readonly linked: boolean;
  readonly linkedAtMs: number | undefined;
  readonly ended: Promise<LinkError>;
  declare(): void;
  announceDrain(): Promise<void>;
  /** Resolves when the gateway has what was sent so far, or does not answer. */
  roundTrip(): Promise<void>;
  close(): void;
}

/** Resolves once the far end has proved itself and HTTP/2 runs. Throws LinkError. */
async function openLink(
  target: Target,
  context: LinkContext,
  signal: AbortSignal,
  onKnown: (gatewayId: string) => void,
): Promise<LiveLink> {
  const { clock, state, time } = context;
  const url = new URL(target.url);
  const { socket, channel } = await openSocket(url, { clock, signal, localAddress: context.localAddress });
  const stop = (): void => {
    socket.destroy();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    const agentNonce = newNonce();
    const { nodeId, fingerprint } = state.current;
    const hello = await upgrade(socket, { url, nodeId, agentNonce, clock });
    const expected = { side: 'gateway', nodeId, agentNonce, channel, fingerprint, nowMs: time.nowMs() } as const;
    const gateway = checkGatewayHello(hello, expected);
    const { gatewayId } = gateway.certificate;
    if (target.gatewayId !== undefined && gatewayId !== target.gatewayId) {
      throw new LinkError(`another gateway (${gatewayId}) answers than the node document names (${target.gatewayId})`);
    }
    onKnown(gatewayId);
    const release = context.registry.claim(gatewayId);
    if (release === undefined) throw new LinkError('there is a link to this gateway already');
    try {
      context.document.adoptChain(gateway.chain);
      return serveLink(socket, { gateway, channel, agentNonce }, context, release);
    } catch (error) {
      release();
      throw error;
    }
  } catch (error) {
    socket.destroy();
    throw error instanceof DocumentError ? new LinkError(error.message) : error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

interface Handshake {
  readonly gateway: KnownGateway;
  readonly channel: Channel;
  readonly agentNonce: string;
}

function serveLink(socket: Socket, handshake: Handshake, context: LinkContext, release: () => void): LiveLink {
  const { clock, log } = context;
  const { gatewayId } = handshake.gateway.certificate;
  const session = performServerHandshake(socket, {
    settings: {
      enablePush: false,
      maxConcurrentStreams: LINK_MAX_CONCURRENT_STREAMS,
      maxHeaderListSize: LINK_MAX_HEADER_BYTES,
      initialWindowSize: STREAM_WINDOW_BYTES,
    },
    maxSessionMemory: SESSION_MEMORY_MB,
    maxHeaderListPairs: 64,
    maxSettings: 16,
    maxOutstandingPings: 4,
  });
  let report: ReportStream | undefined;
  let linkedAtMs: number | undefined;
  let closing = false;
  let heardMs = clock.monotonicMs();
  let endWith: (why: LinkError) => void = () => {};
  const ended = new Promise<LinkError>((resolve) => {
    endWith = resolve;
  });
  const drop = (why: LinkError): void => {
    endWith(why);
    session.destroy();
  };
  const heard = (): void => {
    heardMs = clock.monotonicMs();
  };
  const welcome = clock.after(LINK_HANDSHAKE_TIMEOUT_MS, () => {
    if (linkedAtMs === undefined) drop(new LinkError('the gateway did not say welcome in time'));
  });
  const heartbeat = clock.every(HEARTBEAT_MS, () => {
    if (clock.monotonicMs() - heardMs > HEARTBEAT_MS * HEARTBEATS_MISSED) {
      drop(new LinkError('the gateway went silent'));
      return;
    }
    if (linkedAtMs !== undefined) report?.send({ type: 'heartbeat', inFlight: context.inFlight() });
  });
  const declare = (): void => {
    if (linkedAtMs !== undefined) report?.send({ type: 'declaration', document: context.declare() });
  };
  const onMessage = (message: GatewayMessage): void => {
    heard();
    switch (message.type) {
      case 'welcome':
        context.time.heard(message.nowMs);
        if (linkedAtMs !== undefined) return;
        linkedAtMs = clock.monotonicMs();
        log.info({ gateway: gatewayId }, 'linked');
        declare();
        return;
      case 'time':
        context.time.heard(message.nowMs);
        return;
      case 'chain':
        context.document.adoptChain(message.chain);
        return;
      case 'document': {
        const { epoch, serial } = context.document.accept(message.document);
        report?.send({ type: 'document-acknowledged', epoch, serial });
        return;
      }
      default:
        message satisfies never;
    }
  };

  session.setLocalWindowSize(SESSION_WINDOW_BYTES);
  session.on('ping', heard);
  session.on('error', (error: Error) => endWith(new LinkError(`the link broke: ${error.message}`)));
  session.on('goaway', (_code: number, _last: number, data?: Buffer) => {
    const code = data === undefined ? '' : Buffer.from(data).toString('latin1').slice(0, 64);
    if (code !== '') {
      endWith(
        new LinkError(`the gateway ends the link: ${code}`, code === 'policy.node_refused' ? 'refused' : 'failed'),
      );
    }
  });
  session.on('close', () => {
    endWith(new LinkError('the link was closed'));
    // The socket may have ended before HTTP/2 did.
    socket.destroy();
    welcome.cancel();
    heartbeat.cancel();
    release();
  });
  session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    heard();
    if (headers[':path'] !== LINK_REPORT_PATH) {
      context.serve(stream, headers);
      return;
    }
    if (report !== undefined || headers[':method'] !== 'POST') {
      stream.on('error', () => {});
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    report = openReportStream(stream, {
      message(message) {
        try {
          onMessage(message);
        } catch (error) {
          // What does not hold is not applied and not acknowledged; the document before stays in force.
          log.error(
            { gateway: gatewayId, type: message.type, why: error instanceof Error ? error.message : String(error) },
            'refused what the gateway sent',
          );
        }
      },
      broken: (reason) => {
        if (!closing) drop(new LinkError(reason));
      },
    });
    report.send(helloMessage(handshake, context));
  });

  return {
    gatewayId,
    get linked() {
      return linkedAtMs !== undefined && !closing && !session.closed && !session.destroyed;
    },
    get linkedAtMs() {
      return linkedAtMs;
    },
    ended,
    declare,
    async announceDrain() {
      report?.send({ type: 'draining' });
      await roundTrip(session, context);
    },
    roundTrip: () => roundTrip(session, context),
    close() {
      closing = true;
      endWith(new LinkError('stopped'));
      report?.end();
      // Closed first, so that the destruction says GOAWAY and FIN; a gateway that does not answer is not waited for.
      session.close();
      session.destroy();
      const force = clock.after(CLOSE_TIMEOUT_MS, () => socket.destroy());
      socket.once('close', () => force.cancel());
    },
  };
}

function helloMessage({ gateway, channel, agentNonce }: Handshake, context: LinkContext) {
  const transcript = linkTranscript('agent', {
    nodeId: context.state.current.nodeId,
    agentNonce,
    gatewayNonce: gateway.gatewayNonce,
    gatewayKey: gateway.certificate.publicKey,
    channel: channel.binding,
  });
  return {
    type: 'hello',
    publicKey: context.key.publicKey,
    signature: signText(context.key, transcript),
    agentVersion: AGENT_VERSION,
    ...context.document.position,
  } as const;
}

/** Whatever the gateway sent before it had read all that we sent is here when this resolves. */
async function roundTrip(session: ServerHttp2Session, { clock }: LinkContext): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      timeout.cancel();
      session.off('close', done);
      resolve();
    };
    const timeout = clock.after(CLOSE_TIMEOUT_MS, done);
    session.on('close', done);
    if (session.destroyed || !session.ping(done)) done();
  });
}

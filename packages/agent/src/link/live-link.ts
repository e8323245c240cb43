/**
 * One connection from dialling to its end: who answers is checked, then HTTP/2 is served on it, with the report stream
 * beside the requests. What a gateway sends and does not hold is refused and said in the log; it ends nothing.
 */
import {
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  constants,
  performServerHandshake,
} from 'node:http2';
import type { Socket } from 'node:net';
import {
  type AgentMessage,
  type GatewayMessage,
  HEARTBEATS_MISSED,
  HEARTBEAT_MS,
  LINK_HANDSHAKE_TIMEOUT_MS,
  LINK_MAX_CONCURRENT_STREAMS,
  LINK_MAX_HEADER_BYTES,
  LINK_REPORT_PATH,
  linkTranscript,
} from '@subcloud/contract/link';
import { RECEIPT_SALT_HEADER, type ServingBatch } from '@subcloud/contract/receipts';
import { dropBuffered, joinBuffered } from '@subcloud/kit/buffered-bytes';
import { DocumentError, signText } from '@subcloud/kit/signing';
import { AGENT_VERSION } from '../version.ts';
import { type HelloExpectation, type KnownGateway, checkGatewayHello, newNonce } from './gateway-hello.ts';
import type { ReceiptSink } from '../serve/receipts.ts';
import type { LinkContext } from './link-context.ts';
import { LinkError } from './link-error.ts';
import { type Channel, openSocket } from './open-socket.ts';
import { type ReportStream, openReportStream } from './report-stream.ts';
import { UNLIMITED_RESETS, createResetLimit } from './reset-limit.ts';
import { upgrade } from './upgrade.ts';

const CLOSE_TIMEOUT_MS = 1_000;
const STREAM_WINDOW_BYTES = 262_144;
const SESSION_WINDOW_BYTES = 4_194_304;
const SESSION_MEMORY_MB = 64;

/** Where to link to. */
export interface LinkTarget {
  readonly url: string;
  /** Set where a node document names the gateway: whoever else answers is not it. */
  readonly gatewayId?: string;
}

/** What one message takes. */
const MAX_ENGINES = 64;

export interface LiveLink {
  readonly gatewayId: string;
  readonly linked: boolean;
  readonly linkedAtMs: number | undefined;
  readonly ended: Promise<LinkError>;
  declare(): void;
  sayDrained(): void;
  /** False where the gateway is not linked, or has sent no request with a salt: it may not know of receipts. */
  sendReceipts(batch: ServingBatch): boolean;
  announceDrain(): Promise<void>;
  /** Resolves when the gateway has what was sent so far, or does not answer. */
  roundTrip(): Promise<void>;
  close(): void;
}

/** Resolves once the far end has proved itself and HTTP/2 runs; `onKnown` hears which gateway it is. Throws LinkError. */
export async function openLink(
  target: LinkTarget,
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
    const gateway = proofOf(hello, expected, context);
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

/** Throws LinkError as `checkGatewayHello`. */
function proofOf(hello: unknown, expected: HelloExpectation, { registry, time }: LinkContext): KnownGateway {
  try {
    return checkGatewayHello(hello, expected);
  } catch (error) {
    // A gateway may have lied about the time by which this one was judged.
    if (!registry.any) time.distrust();
    throw error;
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
  const session = openSession(socket);
  let report: ReportStream | undefined;
  let linkedAtMs: number | undefined;
  let closing = false;
  const receipts = receiptsBy(() => (linkedAtMs === undefined || closing ? undefined : report));
  let heardMs = clock.monotonicMs();
  const { promise: ended, resolve: endWith } = Promise.withResolvers<LinkError>();
  const drop = (why: LinkError): void => {
    endWith(why);
    dropBuffered(socket);
    session.destroy();
  };
  const heard = (): void => {
    heardMs = clock.monotonicMs();
  };
  const welcome = clock.after(LINK_HANDSHAKE_TIMEOUT_MS, () => {
    if (linkedAtMs === undefined) drop(new LinkError('the gateway did not say welcome in time'));
  });
  const heartbeat = clock.every(HEARTBEAT_MS, () => {
    if (clock.monotonicMs() - heardMs > HEARTBEAT_MS * HEARTBEATS_MISSED)
      return drop(new LinkError('the gateway went silent'));
    if (linkedAtMs !== undefined && report !== undefined) sayLoad(report, context);
  });
  const guarded = (what: string, act: () => void): void => {
    try {
      act();
    } catch (error) {
      // What does not hold, or cannot be stored, is not applied and not acknowledged; what was before stays in force.
      log.error({ gateway: gatewayId, what, why: error instanceof Error ? error.message : String(error) }, 'refused');
    }
  };
  const declare = (): void => {
    if (linkedAtMs === undefined) return;
    guarded('own declaration', () => report?.send({ type: 'declaration', document: context.declare() }));
  };
  const sayDrained = (): void => {
    const drained = context.drained();
    if (linkedAtMs !== undefined && drained !== undefined)
      report?.send({ type: 'drained', ...drained, pools: [...drained.pools] });
  };
  const onMessage = (message: GatewayMessage): void => {
    heard();
    if (saysTimeBeyond(message, handshake)) return drop(new LinkError('the gateway lies about the time'));
    guarded(message.type, () => applyMessage(message, context, (answer) => report?.send(answer)));
    if (message.type !== 'welcome' || linkedAtMs !== undefined) return;
    linkedAtMs = clock.monotonicMs();
    log.info({ gateway: gatewayId }, 'linked');
    declare();
    sayDrained();
  };

  const resets = createResetLimit(clock, () => drop(new LinkError('the gateway gives up too many requests')));
  session.on('ping', heard);
  session.on('error', (error: Error) => endWith(new LinkError(`the link broke: ${error.message}`)));
  session.on('goaway', (_code: number, _last: number, data?: Buffer) => {
    const why = goodbye(data);
    if (why !== undefined) drop(why);
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
      resets.watch(stream);
      receipts.heard(headers);
      return context.serve(stream, headers, receipts);
    }
    if (report !== undefined || headers[':method'] !== 'POST') {
      stream.on('error', () => {});
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    report = openReportStream(stream, {
      message: onMessage,
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
    sayDrained,
    sendReceipts: (batch) => receipts.sendReceipts(batch),
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
      dropBuffered(socket);
      session.close();
      session.destroy();
      const force = clock.after(CLOSE_TIMEOUT_MS, () => socket.destroy());
      socket.once('close', () => force.cancel());
    },
  };
}

/** Receipts go to a gateway that has sent a salt: one that sends none may not know of them. */
function receiptsBy(
  report: () => ReportStream | undefined,
): ReceiptSink & { readonly heard: (headers: IncomingHttpHeaders) => void } {
  let wanted = false;
  return {
    heard(headers) {
      wanted ||= headers[RECEIPT_SALT_HEADER] !== undefined;
    },
    sendReceipts(batch) {
      const stream = wanted ? report() : undefined;
      stream?.send({ type: 'receipts', ...batch });
      return stream !== undefined;
    },
  };
}

function sayLoad(report: ReportStream, context: LinkContext): void {
  report.send({ type: 'heartbeat', inFlight: context.inFlight() });
  const engines = context.loads().slice(0, MAX_ENGINES);
  if (engines.length > 0) report.send({ type: 'load', engines });
}

function openSession(socket: Socket): ServerHttp2Session {
  joinBuffered(socket);
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
    ...UNLIMITED_RESETS,
  });
  if (session.destroyed) dropBuffered(socket);
  else session.setLocalWindowSize(SESSION_WINDOW_BYTES);
  return session;
}

/** Throws what makes the message not count: DocumentError, or an error of storing. */
function applyMessage(message: GatewayMessage, context: LinkContext, answer: (message: AgentMessage) => void): void {
  switch (message.type) {
    case 'welcome':
    case 'time':
      context.time.heard(message.nowMs);
      return;
    case 'chain':
      context.document.adoptChain(message.chain);
      return;
    case 'document': {
      const { epoch, serial } = context.document.accept(message.document);
      answer({ type: 'document-acknowledged', epoch, serial });
      return;
    }
    default:
      message satisfies never;
  }
}

/** A time at which the gateway's own certificate has ended. */
function saysTimeBeyond(message: GatewayMessage, { gateway }: Handshake): boolean {
  const says = message.type === 'welcome' || message.type === 'time';
  return says && message.nowMs >= gateway.certificate.notAfter;
}

/** A gateway that ends a link says why in its GOAWAY, by an error code; without one it only goes away in good order. */
function goodbye(data: Buffer | undefined): LinkError | undefined {
  const code = data === undefined ? '' : Buffer.from(data).toString('latin1').slice(0, 64);
  if (code === '') return undefined;
  if (code === 'client.conflict')
    return new LinkError(
      `the gateway ends the link: ${code}: another link with this node's key is up; if that is no earlier run of this agent, its data folder is in use on two machines: enrol one of them anew from an empty folder`,
    );
  return new LinkError(`the gateway ends the link: ${code}`, code === 'policy.node_refused' ? 'refused' : 'failed');
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

/**
 * One link to one gateway, for as long as the agent lives: dial, check who answers, serve HTTP/2, and after every end
 * dial again with full jitter. A gateway that refuses lastingly is asked again slowly; a gateway that goes silent is
 * dropped by the clock, because a cut TCP connection may say nothing for minutes.
 */
import type { ServingBatch } from '@subcloud/contract/receipts';
import { type Random, jitteredBackoffMs } from '@subcloud/kit/clock';
import type { LinkContext } from './link-context.ts';
import { LinkError } from './link-error.ts';
import { type LinkTarget, type LiveLink, openLink } from './live-link.ts';

const BACKOFF = { baseMs: 250, capMs: 30_000 };
/** A link that held this long was sound: the next loss starts the back-off anew. */
const STABLE_MS = 10_000;
/** Between tries at a gateway that refuses this node: soon once or twice, since a new node may be ahead of the news of it. */
const REFUSED_BACKOFF = { baseMs: 2_000, capMs: 60_000 };

export interface GatewayLink {
  readonly url: string;
  /** Of the gateway behind this link while it is up. */
  readonly gatewayId: string | undefined;
  /** The gateway has said welcome and the link is up. */
  readonly linked: boolean;
  /** Says again what the node is and permits. */
  declare(): void;
  /** Says in which pools that the node is leaving nothing is in flight any more. */
  sayDrained(): void;
  /** False where the link is down, or its gateway keeps no receipts. */
  sendReceipts(batch: ServingBatch): boolean;
  /** Says that the node takes nothing new. Resolves when the gateway has heard it, or does not answer. */
  announceDrain(): Promise<void>;
  /** Ends the link and dials no more. Resolves when its socket is closed. */
  stop(): Promise<void>;
}

export function startGatewayLink(target: LinkTarget, context: LinkContext): GatewayLink {
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
    sayDrained: () => live?.sayDrained(),
    sendReceipts: (batch) => live?.sendReceipts(batch) === true,
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

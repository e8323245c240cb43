/**
 * One request from a gateway, from head to end. It reads as its stages: head, lock, place, body, lock on the body,
 * engine, relay. Nothing of a caller's text is logged or kept, and whatever fails here is answered, not thrown.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { AppError } from '@subcloud/contract/errors';
import { shareOf } from '@subcloud/policy/consent';
import type { PrincipalId } from '@subcloud/contract/vocabulary';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { nextTurn } from '@subcloud/kit/turns';
import type { EngineFleet, PickedEngine } from '../engines/engine-fleet.ts';
import type { LiveSettings } from '../settings.ts';
import type { CurrentDocument } from '../state/current-document.ts';
import type { Admission } from './admission.ts';
import { type HeldBody, readBody } from './read-body.ts';
import { CannotContinue, LockRefusal, refuse } from './refusal.ts';
import type { ReceiptMeter, ReceiptSink, Receipts } from './receipts.ts';
import { relay } from './relay.ts';
import { checkBody, withEngineName } from './request-body.ts';
import { type RequestHead, readRequestHead } from './request-head.ts';
import { checkLock } from './second-lock.ts';
import type { ServeSpans } from './serve-spans.ts';
import { operationOf } from '@subcloud/contract/operation';

/** What a test or a log learns of each request; nothing of its content. */
export interface Served {
  readonly requestId: string;
  readonly pool: string;
  readonly model: string;
  readonly tableVersion: number;
  /** It was handed to an engine. */
  readonly accepted: boolean;
  /** `accepted`, or why it was not. */
  readonly reason: string;
}

export interface ServeContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: LiveSettings;
  readonly document: CurrentDocument;
  readonly operator: PrincipalId;
  readonly engines: EngineFleet;
  readonly admission: Admission;
  readonly receipts: Receipts;
  /** Undefined: nothing is traced. */
  readonly spans: ServeSpans | undefined;
  /** Set when the agent takes nothing new. */
  readonly refusing: () => boolean;
  readonly onServe?: ((served: Served) => void) | undefined;
}

/** Never rejects: resolves when the stream has its answer or is gone. */
export async function handleRequest(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  context: ServeContext,
  link: ReceiptSink,
): Promise<void> {
  const { document, admission } = context;
  // A reset by the gateway is no fault of ours; 'close' tells whoever must know.
  stream.on('error', () => {});
  const span = context.spans?.begun(headers, stream);
  let head: RequestHead | undefined;
  let leave: (() => void) | undefined;
  let body: HeldBody | undefined;
  try {
    head = readRequestHead(headers);
    span?.read(head, operationOf(head.path));
    lock(head, context);
    leave = place(head, context);
    body = await readBody(stream, admission, context.clock);
    const modelAt = await checkBody(body.bytes, head.model);
    lock(head, context);
    const picked = pickEngine(head, context);
    const bytes = picked.name === head.model ? body.bytes : await withEngineName(body.bytes, modelAt, picked.name);
    const meter = context.receipts.meter(link, head, digestOf(picked, head.model));
    if (meter !== undefined) await measure(body.bytes, meter);
    // Asked again, with nothing awaited after it: a body may be a long time coming, and what was withdrawn is withdrawn.
    lock(head, context);
    report(context, head, true, 'accepted');
    const traced = span?.calling(picked.engine.url, operationOf(head.path), picked.name);
    const forwarded = traced === undefined ? head.headers : { ...head.headers, ...traced };
    await relay(stream, picked, { ...head, headers: forwarded, body: bytes, meter }, context.clock);
  } catch (error) {
    const shown = error instanceof LockRefusal ? error : AppError.from(error);
    if (shown instanceof AppError && shown.code === 'platform.internal' && !stream.destroyed) {
      context.log.error({ requestId: head?.requestId, why: String(error) }, 'a request failed by a fault of the agent');
    }
    if (head !== undefined) report(context, head, false, shown instanceof AppError ? shown.code : 'lock');
    span?.failed(shown instanceof AppError ? shown.code : 'lock');
    refuse(stream, shown, document);
  } finally {
    body?.release();
    leave?.();
    span?.end();
  }
}

/** Some milliseconds of hashing. */
const MEASURED_BYTES = 2_097_152;

/** A large body is hashed without holding up everything else. */
async function measure(body: Buffer, meter: ReceiptMeter): Promise<void> {
  for (let at = 0; at < body.byteLength; at += MEASURED_BYTES) {
    if (at > 0) await nextTurn();
    meter.received(body.subarray(at, at + MEASURED_BYTES));
  }
}

export function lock(head: RequestHead, { document, settings, operator }: ServeContext): void {
  checkLock(head, { document, consent: settings.current.consent, operator });
}

export function place({ pool }: RequestHead, { refusing, admission, settings }: ServeContext): () => void {
  if (refusing()) throw new AppError('platform.starting', { message: 'The node is going away.', retryAfterS: 1 });
  const { concurrency, consent } = settings.current;
  return admission.enter(concurrency, pool, shareOf(consent, pool));
}

function pickEngine(head: RequestHead, { engines }: ServeContext): ReturnType<EngineFleet['pick']> & object {
  const picked = engines.pick(head.model, head.continues);
  if (picked === undefined && head.continues && engines.pick(head.model) !== undefined) throw new CannotContinue();
  if (picked === undefined) throw new AppError('upstream.failed', { message: 'No engine of this node has the model.' });
  return picked;
}

function digestOf({ engine }: PickedEngine, model: string): string | null {
  return engine.traits.get(model)?.digest ?? null;
}

export function report({ onServe }: ServeContext, head: RequestHead, accepted: boolean, reason: string): void {
  const { requestId, pool, model, tableVersion } = head;
  onServe?.({ requestId, pool, model, tableVersion, accepted, reason });
}

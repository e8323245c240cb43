/** One call of an internal API over a node's link, streamed both ways; either side's end is the other's. */
import { type ClientHttp2Stream, type IncomingHttpHeaders, constants } from 'node:http2';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '@subcloud/contract/errors';
import { MAX_BODY_BYTES, RESPONSE_HEADERS, SANDBOX_HEADERS } from '@subcloud/contract/inference';
import { LINK_HEADERS, LINK_UNSENT } from '@subcloud/contract/link';
import { RECEIPT_SALT_HEADER } from '@subcloud/contract/receipts';
import { apiId } from '@subcloud/policy/internal-api';
import type { Clock } from '@subcloud/kit/clock';
import type { NodeLink } from '../link/node-link.ts';
import type { ActiveRequest } from '../request/active-requests.ts';
import { Cancellation } from '../request/cancellation.ts';
import { UNREAD_TIMEOUT_MS } from '../request/patience.ts';
import type { Judgement } from '../schedule/node-stats.ts';
import type { ApiRoute } from './handle-api.ts';

/** Longest silence of a node, and of a caller in the middle of its body. */
const IDLE_TIMEOUT_MS = 600_000;
const HEAD_BYTES = 1_024;
const UNDER_WAY_BYTES = 1_048_576;
const MAX_REFUSAL_BYTES = 65_536;

export type ApiOutcome =
  /** All but the end is sent. */
  | { readonly kind: 'answered'; readonly status: number; readonly judgement: Judgement }
  /** No API has seen it. `mayRetry`: nor was a body begun. */
  | { readonly kind: 'unsent'; readonly error: AppError; readonly mayRetry: boolean; readonly judgement: Judgement }
  | { readonly kind: 'failed'; readonly error: AppError; readonly status: number; readonly judgement: Judgement };

export interface ApiCall {
  readonly link: NodeLink;
  /** Once the stream is open; what it returns gives the place back. */
  readonly takePlace: () => () => void;
  readonly clock: Clock;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly route: ApiRoute;
  readonly active: ActiveRequest;
  readonly pool: string;
  readonly node: string;
  readonly tableVersion: number;
  readonly requestId: string;
  /** Of its receipt, hex. */
  readonly salt: string;
  /** Where its trace goes on, for the node. */
  readonly traced: { readonly traceparent: string } | undefined;
  /** Headers of ours for the answer. */
  readonly onFirstByte: () => Record<string, string>;
}

export function callApi(call: ApiCall): Promise<ApiOutcome> {
  const { link, request, response, active, clock } = call;
  const hasBody =
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
  const ended = active.cancellation.reason ?? (isTooLarge(request) ? tooLarge() : undefined);
  // Nothing was sent, and the node has nothing to do with it.
  if (ended !== undefined)
    return Promise.resolve({ kind: 'unsent', error: ended, mayRetry: false, judgement: 'unjudged' });
  return new Promise((resolve) => {
    let stream: ClientHttp2Stream;
    try {
      stream = link.session.request(headersOf(call), { endStream: !hasBody });
    } catch {
      resolve({ kind: 'unsent', error: new AppError('upstream.failed'), mayRetry: true, judgement: 'node failed' });
      return;
    }
    const cut = new Cancellation();
    active.dispatched = { pool: call.pool, node: call.node, cut };
    const givePlace = call.takePlace();
    let settled = false;
    let status = 0;
    let refusal: IncomingHttpHeaders | undefined;
    let refusalBytes = 0;
    let bodyBytes = 0;
    /** Bytes that came before the head: over TLS they may (../request/attempt). */
    let early: Buffer[] | undefined;
    const progress = (): void => {
      const isUnread = stream.isPaused();
      // A caller that sends on and reads nothing moves nobody: its agent would give up, and the API would seem to have failed.
      if (isUnread && active.waitsFor === 'the caller to read') return;
      active.deadlineMs = clock.monotonicMs() + (isUnread ? UNREAD_TIMEOUT_MS : IDLE_TIMEOUT_MS);
      const bodyIsDue = hasBody && !request.complete && !request.isPaused();
      active.waitsFor = isUnread ? 'the caller to read' : bodyIsDue ? 'the body' : 'a node';
    };
    const settle = (outcome: ApiOutcome): void => {
      if (settled) return;
      settled = true;
      active.dispatched = undefined;
      active.cancellation.unlisten(stop);
      cut.unlisten(stop);
      request.off('data', onBody).off('end', onBodyEnd);
      resolve(outcome);
    };
    const fail = (error: AppError, judgement: Judgement): void =>
      settle({ kind: 'failed', error, status: error.status, judgement });
    const giveUp = (): void => {
      link.guard.usefulBytes += UNDER_WAY_BYTES;
      stream.close(constants.NGHTTP2_CANCEL);
    };
    const stop = (reason: AppError): void => {
      giveUp();
      fail(reason, reason.code === 'upstream.timeout' ? 'engine failed' : 'unjudged');
    };
    const onBody = (chunk: Buffer): void => {
      progress();
      bodyBytes += chunk.byteLength;
      if (bodyBytes > MAX_BODY_BYTES) return stop(tooLarge());
      if (stream.write(chunk)) return;
      request.pause();
      progress();
    };
    const onBodyEnd = (): void => {
      progress();
      stream.end();
    };
    const broke = (): void =>
      fail(new AppError(status === 0 ? 'upstream.failed' : 'upstream.interrupted'), brokenBy(link));
    progress();
    active.cancellation.listen(stop);
    cut.listen(stop);
    stream.on('drain', () => {
      request.resume();
      progress();
    });
    stream.on('response', (head) => {
      link.guard.usefulBytes += HEAD_BYTES;
      progress();
      status = Number(head[':status']);
      // The agent speaks, and not the API: its words are for us.
      if (status === 421 || head[LINK_HEADERS.engine] !== undefined) return void (refusal = head);
      response.writeHead(status, passed(head, call.onFirstByte()));
      response.flushHeaders();
      for (const chunk of early ?? []) pass(chunk);
      early = undefined;
    });
    const pass = (chunk: Buffer): void => {
      link.guard.usefulBytes += chunk.byteLength;
      progress();
      if (settled || response.write(chunk) || stream.isPaused()) return;
      stream.pause();
      progress();
      response.once('drain', () => {
        stream.resume();
        progress();
      });
    };
    stream.on('end', () => {
      if (settled) return;
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || status === 0) return broke();
      if (refusal === undefined)
        return settle({ kind: 'answered', status, judgement: status >= 500 ? 'engine failed' : 'served' });
      settle(refused(refusal, status, hasBody));
    });
    stream.on('error', broke);
    stream.on('close', () => {
      givePlace();
      broke();
    });
    stream.on('data', (chunk: Buffer) => {
      if (status === 0) return void (early ??= []).push(chunk);
      if (refusal === undefined) return pass(chunk);
      // A refusal is small, and read only to be over.
      refusalBytes += chunk.byteLength;
      if (refusalBytes > MAX_REFUSAL_BYTES) giveUp();
    });
    if (hasBody) request.on('data', onBody).on('end', onBodyEnd);
  });
}

function headersOf({ request, route, pool, tableVersion, requestId, salt, traced }: ApiCall): Record<string, string> {
  const { 'content-type': type, accept, 'content-length': length } = request.headers;
  return {
    ':method': request.method ?? 'GET',
    ':path': `/apis/${route.api}${route.target}`,
    ...(type === undefined ? {} : { 'content-type': type }),
    ...(accept === undefined ? {} : { accept }),
    ...(length === undefined ? {} : { 'content-length': length }),
    [LINK_HEADERS.pool]: pool,
    [LINK_HEADERS.table]: String(tableVersion),
    [LINK_HEADERS.model]: apiId(route.api),
    [LINK_HEADERS.request]: requestId,
    [RECEIPT_SALT_HEADER]: salt,
    ...traced,
  };
}

function passed(head: IncomingHttpHeaders, own: Record<string, string>): Record<string, string> {
  const headers: Record<string, string> = { ...own, ...SANDBOX_HEADERS };
  for (const name of RESPONSE_HEADERS) {
    const value = head[name];
    if (typeof value === 'string') headers[name] = value;
  }
  return headers;
}

/** By the agent's word an API has seen it, or none has; a lock refuses before anything is sent. */
function refused(head: IncomingHttpHeaders, status: number, hasBody: boolean): ApiOutcome {
  if (status !== 421 && head[LINK_HEADERS.engine] !== LINK_UNSENT) {
    const error = new AppError('upstream.failed');
    return { kind: 'failed', error, status: error.status, judgement: 'engine failed' };
  }
  const busy = status === 429;
  const error = busy ? new AppError('capacity.overloaded', { retryAfterS: 1 }) : new AppError('upstream.failed');
  return { kind: 'unsent', error, mayRetry: !hasBody, judgement: busy ? 'busy' : 'unjudged' };
}

function brokenBy({ closed, session }: NodeLink): Judgement {
  return closed || session.destroyed ? 'node failed' : 'engine failed';
}

function isTooLarge({ headers }: IncomingMessage): boolean {
  return Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES;
}

function tooLarge(): AppError {
  return new AppError('client.too_large', { message: `The body is larger than ${MAX_BODY_BYTES} bytes.` });
}

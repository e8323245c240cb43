/**
 * One request for an internal API that this machine hosts: the same lock, place and relay as for an engine. Bodies go
 * through as they come, in both directions, and nothing is tried twice: an API may do things.
 *
 * The path is judged here again, whatever the gateway says of it; of headers only the listed ones pass, both ways.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { PassThrough } from 'node:stream';
import { AppError } from '@subcloud/contract/errors';
import { REQUEST_HEADERS } from '@subcloud/contract/inference';
import { LINK_HEADERS, LINK_UNSENT } from '@subcloud/contract/link';
import { callText } from '@subcloud/contract/receipts';
import { API_METHODS, apiId, cleanTarget } from '@subcloud/policy/internal-api';
import type { Dispatcher } from 'undici';
import { isRefusedConnection } from '../engines/engine.ts';
import { Pool } from '../engines/undici-pool.ts';
import { type ServeContext, lock, place, report } from './handler.ts';
import { LockRefusal, refuse } from './refusal.ts';
import { type RelayTarget, relay } from './relay.ts';
import type { ReceiptMeter, ReceiptSink } from './receipts.ts';
import { type RequestHead, readLabels, saltOf } from './request-head.ts';

const PATH = /^\/apis\/([a-z0-9-]{1,63})(\/.*)$/;
const MAX_CONNECTIONS = 256;
const CONNECT_TIMEOUT_MS = 5_000;

export function isApiPath(headers: IncomingHttpHeaders): boolean {
  return headers[':path']?.startsWith('/apis/') === true;
}

/** Never rejects: resolves when the stream has its answer or is gone. */
export async function handleApiRequest(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  context: ServeContext,
  link: ReceiptSink,
): Promise<void> {
  stream.on('error', () => {});
  const span = context.spans?.begun(headers, stream);
  let head: RequestHead | undefined;
  let leave: (() => void) | undefined;
  let sent = false;
  try {
    const { name, target, method } = readTarget(headers);
    const asked: RequestHead = {
      ...readLabels(headers),
      path: target,
      continues: false,
      salt: saltOf(headers),
      headers: forwarded(headers),
    };
    head = asked;
    span?.read({ ...asked, path: '/apis' }, 'call_api');
    if (asked.model !== apiId(name)) throw new LockRefusal('The path names another API than its label.');
    lock(asked, context);
    leave = place(asked, context);
    const api = context.settings.current.apis.find((one) => one.name === name);
    if (api === undefined) throw new AppError('upstream.failed', { message: 'This node does not host the API.' });
    report(context, asked, true, 'accepted');
    sent = true;
    const meter = context.receipts.meter(link, asked, null);
    meter?.received(Buffer.from(callText(method, target)));
    const traced = span?.calling(api.url, 'call_api', asked.model);
    const host = hostOf(api.url, { stream, target, method, headers: { ...asked.headers, ...traced }, meter });
    const request = { ...asked, body: NOTHING, isApi: true, meter: meterOf(stream, meter) } as const;
    await relay(stream, { engine: host, name: asked.model }, request, context.clock);
  } catch (error) {
    const shown = error instanceof LockRefusal ? error : AppError.from(error);
    if (head !== undefined && !sent) report(context, head, false, shown instanceof AppError ? shown.code : 'lock');
    const unsent = !sent || (shown instanceof AppError && isRefusedConnection(shown.cause));
    span?.failed(shown instanceof AppError ? shown.code : 'lock');
    refuse(stream, shown, context.document, { [LINK_HEADERS.engine]: unsent ? LINK_UNSENT : 'failed' });
  } finally {
    leave?.();
    span?.end();
  }
}

const NOTHING = Buffer.alloc(0);

/** An API may answer before it has read all that it was sent: then its node does not know what the request was. */
function meterOf(stream: ServerHttp2Stream, meter: ReceiptMeter | undefined): ReceiptMeter | undefined {
  if (meter === undefined) return undefined;
  const isRead = (): boolean => stream.endAfterHeaders || stream.readableEnded;
  return {
    ...meter,
    whole: (status) => (isRead() ? meter.whole(status) : undefined),
    broken: (status) => (isRead() ? meter.broken(status) : undefined),
  };
}

function readTarget(headers: IncomingHttpHeaders): { name: string; target: string; method: Dispatcher.HttpMethod } {
  const [, name, target] = PATH.exec(headers[':path'] ?? '') ?? [];
  if (name === undefined || target === undefined || cleanTarget(target) === undefined) {
    throw new AppError('client.not_found', { message: 'This path is not forwarded.' });
  }
  const method = API_METHODS.find((known) => known === headers[':method']);
  if (method === undefined) throw new AppError('client.method_not_allowed');
  return { name, target, method };
}

function forwarded(headers: IncomingHttpHeaders): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of [...REQUEST_HEADERS, 'content-length']) {
    const value = headers[name];
    if (typeof value === 'string') passed[name] = value;
  }
  return passed;
}

interface ApiCall {
  readonly stream: ServerHttp2Stream;
  readonly target: string;
  readonly method: Dispatcher.HttpMethod;
  readonly headers: Readonly<Record<string, string>>;
  readonly meter: ReceiptMeter | undefined;
}

const pools = new Map<string, InstanceType<typeof Pool>>();

/** An API as the relay sees an engine. No connection is kept: one that its other end had closed would lose a request. */
function hostOf(url: string, { stream, target, method, headers, meter }: ApiCall): RelayTarget['engine'] {
  const { origin, pathname } = new URL(url);
  let pool = pools.get(origin);
  if (pool === undefined) {
    pool = new Pool(origin, {
      connections: MAX_CONNECTIONS,
      pipelining: 0,
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: CONNECT_TIMEOUT_MS },
      allowH2: false,
    });
    pools.set(origin, pool);
  }
  const dispatcher = pool;
  if (meter !== undefined) stream.on('data', (chunk: Buffer) => meter.received(chunk));
  const hasBody = !stream.endAfterHeaders && method !== 'GET' && method !== 'HEAD';
  return {
    inFlight: 0,
    unreachable: () => {},
    dispatch: (_request, handler) =>
      void dispatcher.dispatch(
        {
          method,
          path: `${pathname.replace(/\/+$/, '')}${target}`,
          headers: { ...headers },
          // undici destroys a body that it is done with, and this one is the way back, too.
          body: hasBody ? stream.pipe(new PassThrough()) : null,
        },
        handler,
      ),
  };
}

/**
 * `/api/…`, `/docs` and `/` belong to control, which callers reach in no other way: they pass to it as they are, in both
 * directions as streams. The caller's authorization passes too, since control decides by it. Control's private paths
 * are on another channel and cannot be reached from here, whatever the path.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { AppError } from '@subcloud/contract/errors';
import { clientAddress } from '../front/client-address.ts';
import { sendError } from '../request/send-error.ts';
import type { ControlTransport } from '../watch/control-transport.ts';

export const CLIENT_ADDRESS_HEADER = 'x-subcloud-client-address';
/** Whether the caller spoke TLS to this gateway: what control's cookies depend on. */
export const CLIENT_SCHEME_HEADER = 'x-subcloud-client-scheme';

/** What others say of the caller's address. Control hears it from this gateway alone, in the header above. */
const SAID_ADDRESS = /^(?:forwarded|x-forwarded-.*|x-real-ip|x-client-ip|true-client-ip|cf-connecting-ip)$/;
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
/** What would be another path after decoding or normalising is none of ours. */
const NOT_NORMAL = /%2e|%2f|%5c|\\|\/\/|\/\.{1,2}(?:\/|$)/i;

const MAX_BODY_BYTES = 2_097_152;

export interface PassThrough {
  readonly matches: (path: string) => boolean;
  readonly pass: (incoming: IncomingMessage, response: ServerResponse) => void;
}

export function passThrough(transport: ControlTransport): PassThrough {
  return {
    matches: belongsToControl,
    pass: (incoming, response) => pass(transport, incoming, response),
  };
}

/** `path` is without its query. */
export function belongsToControl(path: string): boolean {
  if (NOT_NORMAL.test(path)) return false;
  return (
    path === '/' ||
    path === '/agent.mjs' ||
    path === '/docs' ||
    path.startsWith('/docs/') ||
    path === '/account' ||
    path.startsWith('/account/') ||
    path.startsWith('/api/')
  );
}

function pass(transport: ControlTransport, incoming: IncomingMessage, response: ServerResponse): void {
  // No route of control takes as much; what is larger is refused here, and read to its end so that the answer arrives.
  if (Number(incoming.headers['content-length'] ?? 0) > MAX_BODY_BYTES) {
    incoming.resume();
    const message = `The control API takes at most ${MAX_BODY_BYTES} bytes.`;
    sendError(response, new AppError('client.too_large', { message }));
    return;
  }
  const headers = withoutHopByHop(incoming.headers);
  // Control believes this header on this socket, so nobody else may set it.
  headers[CLIENT_ADDRESS_HEADER] = clientAddress(incoming);
  headers[CLIENT_SCHEME_HEADER] = incoming.socket instanceof TLSSocket ? 'https' : 'http';
  // Whatever the method: a body without framing would be read by control as the next request of this connection.
  if (hasBody(incoming.headers) && headers['content-length'] === undefined) headers['transfer-encoding'] = 'chunked';
  const onward = transport.request('api', { path: incoming.url, method: incoming.method, headers });
  const fail = (): void => {
    onward.destroy();
    incoming.resume();
    if (response.headersSent) response.destroy();
    else sendError(response, new AppError('platform.control_unavailable', { retryAfterS: 1 }));
  };
  let answered = false;
  onward.on('error', () => (answered ? undefined : fail()));
  onward.on('response', (answer) => {
    answered = true;
    // What control did not wait for of the body is no longer wanted: a refused upload is told so, whole.
    incoming.unpipe(onward);
    incoming.resume();
    response.writeHead(answer.statusCode ?? 502, withoutHopByHop(answer.headers));
    answer.on('error', fail);
    answer.on('aborted', fail);
    // A connection on which a body is still owed is never used again: control would read the next request as that body.
    answer.on('end', () => (onward.writableFinished ? undefined : onward.destroy()));
    answer.pipe(response);
  });
  response.on('close', () => {
    if (!response.writableFinished) onward.destroy();
  });
  incoming.on('error', () => onward.destroy());
  incoming.pipe(onward);
}

function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function withoutHopByHop(given: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = new Set((given.connection ?? '').toLowerCase().split(/\s*,\s*/));
  const kept: IncomingHttpHeaders = {};
  for (const [name, value] of Object.entries(given)) {
    if (HOP_BY_HOP.has(name) || named.has(name) || name === CLIENT_ADDRESS_HEADER || SAID_ADDRESS.test(name)) continue;
    kept[name] = value;
  }
  return kept;
}

/** The one place where an error becomes an answer: OpenAI's envelope, or an event at the end of a broken stream. */
import type { ServerResponse } from 'node:http';
import { type AppError, toEnvelope } from '@subcloud/contract/errors';
import { SANDBOX_HEADERS } from '@subcloud/contract/inference';

/** Longest time without a sign that a broken stream's caller reads on. */
const UNREAD_MS = 30_000;

/** OpenAI's clients do not wait longer than this for what `retry-after` says: they come back at once instead. */
const MAX_CLIENT_WAIT_S = 60;
/** Of what they try again by themselves (408, 409, 429, 5xx), what must not be, or cannot succeed. */
const NO_RETRY = { 'x-should-retry': 'false' } as const;

/** By the gateway's own word or an engine's: a client that would not wait so long is told not to come back by itself. */
export function waitHeaders(retryAfterS: number): Readonly<Record<string, string>> {
  return { 'retry-after': String(retryAfterS), ...(retryAfterS > MAX_CLIENT_WAIT_S ? NO_RETRY : {}) };
}

/** When OpenAI's clients come back by themselves, if at all. */
export function retryHeaders({ code, retryAfterS }: AppError): Readonly<Record<string, string>> {
  // What may bring further engines down, and what asks for more than the limit ever gives.
  const never = code === 'upstream.suspect_request' || (code === 'policy.limit_exceeded' && retryAfterS === null);
  return { ...(retryAfterS === null ? {} : waitHeaders(retryAfterS)), ...(never ? NO_RETRY : {}) };
}

/** For an answer that has not begun. `headers` are those that say nothing of a pool. */
export function sendError(
  response: ServerResponse,
  error: AppError,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const body = JSON.stringify(toEnvelope(error));
  response.writeHead(error.status, {
    ...headers,
    ...SANDBOX_HEADERS,
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    ...retryHeaders(error),
  });
  response.end(body);
}

/**
 * For a stream that has begun: an error event, then the end of the connection without the end of the answer, so that
 * neither a client that reads events nor one that reads HTTP takes it for whole.
 */
export function breakStream(response: ServerResponse, error: AppError, closesEvent: boolean): void {
  if (response.destroyed) return;
  const event = `${closesEvent ? '\n\n' : ''}data: ${JSON.stringify(toEnvelope(error))}\n\n`;
  response.write(event, () => response.socket?.end());
  // A caller that reads nothing would keep the connection for as long as it likes.
  response.socket?.setTimeout(UNREAD_MS, () => response.destroy());
}

/** The one place where an error becomes an answer: OpenAI's envelope, or an event at the end of a broken stream. */
import type { ServerResponse } from 'node:http';
import { type AppError, toEnvelope } from '@subcloud/contract/errors';
import { SANDBOX_HEADERS } from '@subcloud/contract/inference';

/** Longest time without a sign that a broken stream's caller reads on. */
const UNREAD_MS = 30_000;

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
    ...(error.retryAfterS === null ? {} : { 'retry-after': String(error.retryAfterS) }),
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

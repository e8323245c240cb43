/** What the agent answers by itself: the one error envelope, and on a 421 the document that it judged by. */
import type { ServerHttp2Stream } from 'node:http2';
import { AppError, toEnvelope } from '@subcloud/contract/errors';
import { LINK_CANNOT_CONTINUE, LINK_ENGINE_ENDED, LINK_HEADERS, LINK_REFUSED_STATUS } from '@subcloud/contract/link';
import { isDeadConnection } from '../engines/engine.ts';
import type { CurrentDocument } from '../state/current-document.ts';

/** The second lock holds: status 421. Never leaves the gateway as such, which tries another node or says so. */
export class LockRefusal extends Error {
  override readonly name = 'LockRefusal';
}

/** None of this node's engines can go on with an answer that another one began. */
export class CannotContinue extends AppError {
  constructor() {
    super('upstream.failed', { message: 'No engine of this node can go on with an answer.' });
  }
}

/** Answers with `error` where no answer has begun; else breaks the stream, so that no half answer passes for a whole one. */
export function refuse(
  stream: ServerHttp2Stream,
  error: AppError | LockRefusal,
  document: CurrentDocument,
  more: Readonly<Record<string, string>> = {},
): void {
  if (stream.destroyed || stream.closed) return;
  if (stream.headersSent) {
    breakOff(stream);
    return;
  }
  const locked = error instanceof LockRefusal;
  const shown = locked ? new AppError('upstream.withdrawn', { message: error.message }) : error;
  const body = Buffer.from(JSON.stringify(toEnvelope(shown)));
  stream.respond({
    ':status': locked ? LINK_REFUSED_STATUS : shown.status,
    'content-type': 'application/json',
    'content-length': body.byteLength,
    ...(locked ? { [LINK_HEADERS.document]: positionText(document) } : {}),
    ...(error instanceof CannotContinue ? { [LINK_HEADERS.continues]: LINK_CANNOT_CONTINUE } : {}),
    ...(isDeadConnection(shown.cause) ? { [LINK_HEADERS.engine]: LINK_ENGINE_ENDED } : {}),
    ...more,
    ...(shown.retryAfterS === null ? {} : { 'retry-after': String(shown.retryAfterS) }),
  });
  stream.end(body);
  // What the other side still sends is of no use to anybody.
  stream.resume();
}

/**
 * Ends an answer so that it can never pass for a whole one. Destroyed, not closed: `close` ends the writable side first,
 * and its END_STREAM can arrive before the reset does.
 */
export function breakOff(stream: ServerHttp2Stream): void {
  stream.destroy(new Error('the answer broke off'));
}

function positionText(document: CurrentDocument): string {
  const { epoch, serial } = document.position;
  return `${epoch}.${serial}.${document.tableVersion}`;
}

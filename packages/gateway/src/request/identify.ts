import type { IncomingMessage } from 'node:http';
import { CLIENT_REQUEST_ID_HEADER } from '@subcloud/contract/inference';
import { type Clock, newId } from '@subcloud/kit/clock';

export interface RequestIdentity {
  /** Made here: a caller could otherwise choose the id that its usage and decisions are found by. */
  readonly requestId: string;
  /** The caller's own `x-request-id` (or `x-client-request-id`), where it is printable and at most 128 characters. */
  readonly clientRequestId: string | null;
  readonly atMs: number;
  readonly startedMs: number;
}

const CLIENT_ID = /^[\x21-\x7e]{1,128}$/;

export function identify(request: IncomingMessage, clock: Clock): RequestIdentity {
  const given = request.headers['x-request-id'] ?? request.headers[CLIENT_REQUEST_ID_HEADER];
  return {
    requestId: newId('req'),
    clientRequestId: typeof given === 'string' && CLIENT_ID.test(given) ? given : null,
    atMs: clock.nowMs(),
    startedMs: clock.monotonicMs(),
  };
}

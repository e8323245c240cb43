/** What goes to a node with a try of a request, and what the answer's head says of the time. */
import type { OutgoingHttpHeaders } from 'node:http2';
import { LINK_HEADERS } from '@subcloud/contract/link';
import { RECEIPT_SALT_HEADER } from '@subcloud/contract/receipts';
import { type Continued, continuesHeaders } from '../continuation/midstream.ts';
import type { Pick } from '../schedule/pick.ts';
import type { Try } from '../tracing/request-spans.ts';
import type { Admission } from './admit.ts';
import type { Timing } from './answer-headers.ts';
import type { RequestDeps } from './request-deps.ts';
import type { ScannedBody } from './scan-body.ts';
import type { Choice, ServeInput } from './serve.ts';

export function headersIn(deps: RequestDeps, input: ServeInput, chosen: Choice, one: OneTry): OutgoingHttpHeaders {
  const { body, going, salt, startedMs } = one;
  return {
    ...nodeHeaders({ ...input, scanned: body }, chosen.admission, chosen.picked, salt),
    ...continuesHeaders(going),
    ...deps.spans?.trying(triedIn(input, chosen, startedMs)),
  };
}

interface OneTry {
  readonly body: ScannedBody;
  readonly going: Continued | undefined;
  readonly salt: string;
  readonly startedMs: number;
}

/** What is neither the queue's nor a node's is the gateway's. */
export function timingOf({ identity }: ServeInput, { startedMs, nowMs, queueMs, retryMs }: Times): Timing {
  const gatewayMs = startedMs - identity.startedMs - queueMs - retryMs;
  return { gatewayMs, queueMs, retryMs, nodeMs: nowMs - startedMs };
}

interface Times {
  readonly startedMs: number;
  readonly nowMs: number;
  readonly queueMs: number;
  readonly retryMs: number;
}

function triedIn({ identity, scanned }: ServeInput, { admission, picked, model }: Choice, startedMs: number): Try {
  const { requestId } = identity;
  const startMs = identity.atMs + startedMs - identity.startedMs;
  const { model: askedModel, stream } = scanned;
  return { requestId, askedModel, stream, model, pool: admission.pool, member: picked.chosen.member, startMs };
}

/** All that a node learns of a request besides its body. */
function nodeHeaders(input: ServeInput, admission: Admission, picked: Pick, salt: string): OutgoingHttpHeaders {
  return {
    ':method': 'POST',
    ':path': input.path,
    'content-type': 'application/json',
    'content-length': input.scanned.byteLength,
    ...(input.accept === undefined ? {} : { accept: input.accept }),
    [LINK_HEADERS.pool]: picked.chosen.member.pool,
    [LINK_HEADERS.table]: String(admission.table.version),
    [LINK_HEADERS.model]: input.scanned.model,
    [LINK_HEADERS.request]: input.identity.requestId,
    [RECEIPT_SALT_HEADER]: salt,
  };
}

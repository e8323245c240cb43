/**
 * `midstream: continue`: what happens to a stream whose node broke off after its first byte. Whether it goes on is
 * decided here; where, by the same pick as any retry, on the table of that moment.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2';
import { LINK_CONTINUES, LINK_HEADERS } from '@subcloud/contract/link';
import type { PoolRow } from '@subcloud/contract/table';
import type { Answer } from '../request/answer.ts';
import type { ByteBudget } from '../request/byte-budget.ts';
import type { ScannedBody } from '../request/scan-body.ts';
import type { AnswerParts } from './answer-parts.ts';
import { type ContinuedBody, continuedBody } from './continued-body.ts';
import { SentText } from './sent-text.ts';

const CHAT_PATH = '/v1/chat/completions';
const COMPLETIONS_PATH = '/v1/completions';
/** Nodes that say that they cannot go on cost nobody anything, but are not asked without end. */
export const MAX_UNABLE_NODES = 4;

/** Undefined where nobody would go on with it. */
export function keepSentText(
  { routing }: PoolRow,
  path: string,
  { stream }: ScannedBody,
  budget: ByteBudget,
  parts: AnswerParts,
): SentText | undefined {
  if (routing?.midstream !== 'continue' || !stream) return undefined;
  if (path === CHAT_PATH) return new SentText('delta', budget, parts);
  return path === COMPLETIONS_PATH ? new SentText('text', budget, parts) : undefined;
}

/** A stream that broke after its engine had said that it is finished lacks its end alone, and needs no node for it. */
export function endIfFinished(answer: Answer): boolean {
  if (answer.sent?.finished !== true) return false;
  answer.end(undefined);
  return true;
}

/**
 * What another node is sent, of an answer that is not finished. Undefined: it is whole now, and has its end. `refused`: it
 * ends broken, and why.
 */
export async function goOn(
  answer: Answer,
  sent: SentText,
  scanned: ScannedBody,
  path: string,
): Promise<Exclude<ContinuedBody, { kind: 'length reached' }> | undefined> {
  const next = await continuedBody(scanned, path === CHAT_PATH, sent);
  if (next.kind !== 'length reached') return next;
  answer.end('length');
  return undefined;
}

export type Continued = Extract<ContinuedBody, { kind: 'body' }>;

export function continuesHeaders(continued: Continued | undefined): OutgoingHttpHeaders {
  return continued?.needsPrefill === true ? { [LINK_HEADERS.continues]: LINK_CONTINUES } : {};
}

/** Whether what a node answers is the rest of the answer. An agent that does not know the question does not say so. */
export function isRest({ needsPrefill }: Continued, headers: IncomingHttpHeaders): boolean {
  if (headers['content-type']?.startsWith('text/event-stream') !== true) return false;
  return !needsPrefill || headers[LINK_HEADERS.continues] === LINK_CONTINUES;
}

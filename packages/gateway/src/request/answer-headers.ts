import { CLIENT_REQUEST_ID_HEADER, POOL_HEADER } from '@subcloud/contract/inference';
import type { MemberRow, PoolRow } from '@subcloud/contract/table';
import type { RequestIdentity } from './identify.ts';
import { pseudonymOf } from './pseudonym.ts';

/** On every answer, also on refusals: nothing in them tells of a pool. */
export function identityHeaders(identity: RequestIdentity): Record<string, string> {
  const headers: Record<string, string> = { 'x-request-id': identity.requestId };
  if (identity.clientRequestId !== null) headers[CLIENT_REQUEST_ID_HEADER] = identity.clientRequestId;
  return headers;
}

/** Only for a caller that was admitted to the pool. */
export function poolHeaders(pool: PoolRow): Record<string, string> {
  return { [POOL_HEADER]: pool.name, 'x-subcloud-revision': String(pool.revision) };
}

/** Where the time until an answer's first byte went; the parts add up to the whole. */
export interface Timing {
  /** Body, checks and picks. */
  readonly gatewayMs: number;
  /** Waiting for a place. */
  readonly queueMs: number;
  /** At nodes that failed before. */
  readonly retryMs: number;
  /** At the node that answered. */
  readonly nodeMs: number;
}

/** For what a node answered. */
export function answerHeaders(
  identity: RequestIdentity,
  pool: PoolRow,
  member: MemberRow,
  timing?: Timing,
): Record<string, string> {
  const headers = identityHeaders(identity);
  Object.assign(headers, poolHeaders(pool));
  headers['x-subcloud-node'] = pseudonymOf(pool, member);
  if (timing !== undefined) {
    const queue = timing.queueMs > 0 ? ` queue;dur=${timing.queueMs.toFixed(2)},` : '';
    const retry = timing.retryMs > 0 ? ` retry;dur=${timing.retryMs.toFixed(2)},` : '';
    headers['server-timing'] =
      `gateway;dur=${timing.gatewayMs.toFixed(2)},${queue}${retry} node;dur=${timing.nodeMs.toFixed(2)}`;
  }
  return headers;
}

/**
 * How long a request waits for whoever has to move next. A node that has not said anything yet may be reading a long
 * prompt, and whole answers of large models take minutes; one that is silent in the middle of its answer hangs. Where it
 * is the caller who does not read, the node is not to blame.
 */
import { DEFAULT_STALL_MS, type PoolRow } from '@subcloud/contract/table';
import type { ActiveRequest, WaitsFor } from './active-requests.ts';

/** For a node's first token. */
export const FIRST_TOKEN_TIMEOUT_MS = 600_000;
/** For a caller to take what was sent. Less than the five minutes after which an agent gives up a stream that nobody reads. */
export const UNREAD_TIMEOUT_MS = 240_000;

/** From now on this is who is waited for. */
export function keepWaiting(
  active: ActiveRequest,
  waitsFor: Exclude<WaitsFor, 'the body'>,
  { routing }: Pick<PoolRow, 'routing'>,
  nowMs: number,
): void {
  active.waitsFor = waitsFor;
  active.deadlineMs = nowMs + patienceMs(waitsFor, routing);
}

function patienceMs(waitsFor: Exclude<WaitsFor, 'the body'>, routing: PoolRow['routing']): number {
  switch (waitsFor) {
    case 'a node':
      return FIRST_TOKEN_TIMEOUT_MS;
    case 'more':
      return routing?.stallTimeoutMs ?? DEFAULT_STALL_MS;
    case 'the caller to read':
      return UNREAD_TIMEOUT_MS;
  }
}

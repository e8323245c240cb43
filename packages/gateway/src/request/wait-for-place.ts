/**
 * When every node that may serve has as many requests as it takes: the caller waits in the pool's queue, where its
 * manifest has one, or is told at once when to come again. The limits that it stands under are taken before it waits,
 * so that nobody fills a queue with what it may not send.
 */
import type { PoolRow } from '@subcloud/contract/table';
import type { AppError } from '@subcloud/contract/errors';
import { NO_QUEUE, type Visit } from '../capacity/waiting-room.ts';
import type { Admission } from './admit.ts';
import { takeLimits } from './limit.ts';
import type { RequestDeps } from './request-deps.ts';
import type { ServeInput } from './serve.ts';

/** The deadline is the queue's; this one is for a queue that does not keep it. */
const GRACE_MS = 5_000;

/** Nobody has a place for it now. */
export interface Busy {
  readonly admission: Admission;
  readonly className: string;
}

/** Where one request stands: undefined until it has waited, and again once it has a place. */
export interface Line {
  visit: Visit | undefined;
  waitedMs: number;
}

/** Requests of one pool and one class can be placed at the same nodes: whoever asks for fewer is a class of its own. */
export function classOf(model: string, { scanned, identity }: ServeInput, tried: readonly string[]): string {
  const { only, ignore, location, maxTtftMs } = scanned.preferences;
  const narrows = only !== undefined || ignore !== undefined || location !== undefined || maxTtftMs !== undefined;
  return narrows || tried.length > 0 ? `${model} ${identity.requestId}` : model;
}

/** Resolves when it is this request's turn to look again. Throws AppError: `capacity.*`, a limit, or its cancellation. */
export async function waitForPlace(deps: RequestDeps, input: ServeInput, busy: Busy, line: Line): Promise<void> {
  const { active } = input;
  const startedMs = deps.clock.monotonicMs();
  try {
    if (line.visit !== undefined) return await line.visit.again();
    const { pool, credential } = busy.admission;
    const bounds = boundsOf(pool);
    if (bounds.max > 0) takeLimits(deps, input, busy.admission);
    active.waitsFor = 'a node';
    active.deadlineMs = startedMs + bounds.timeoutMs + GRACE_MS;
    const who = { pool: pool.name, caller: credential.principal, className: busy.className };
    line.visit = await deps.room.enter(who, bounds, active.cancellation);
  } finally {
    line.waitedMs += deps.clock.monotonicMs() - startedMs;
    if (line.waitedMs > 0) input.trace.queuedMs = line.waitedMs;
  }
}

/** It has a place, or needs none any more: the next in line may look. */
export function leaveLine(line: Line): void {
  line.visit?.leave();
  line.visit = undefined;
}

/** Whether a request that has failed at a node may end by that: nobody has a place for its next try. */
export function isShed(error: unknown): error is AppError {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('capacity.');
}

function boundsOf({ routing }: PoolRow): { readonly max: number; readonly timeoutMs: number } {
  return routing?.queue ?? NO_QUEUE;
}

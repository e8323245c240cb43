/**
 * Requests under way: one sweep enforces all their deadlines, so that no request needs a timer of its own, and a
 * credential that is withdrawn takes its requests with it.
 */
import { AppError } from '@subcloud/contract/errors';
import type { Clock } from '@subcloud/kit/clock';
import type { TableChange } from '../table/routing-table.ts';
import type { Cancellation } from './cancellation.ts';

const SWEEP_MS = 500;

export interface ActiveRequest {
  readonly cancellation: Cancellation;
  /** Monotonic; moved on by whoever sees progress. */
  deadlineMs: number;
  credentialHash: string | undefined;
  /** What it is cancelled with when the deadline passes; made only then. */
  timeout: () => AppError;
  /** Where its answer comes from now. */
  dispatched: { readonly pool: string; readonly node: string; readonly cut: Cancellation } | undefined;
}

export interface ActiveRequests {
  add(request: ActiveRequest): void;
  remove(request: ActiveRequest): void;
  readonly size: number;
  /** Cuts what was started with a credential that the table no longer has, and answers of nodes that may see nothing of the pool any more. */
  tableChanged(change: TableChange): void;
  /** Resolves when none is left, or cuts the rest after `maxMs`. */
  drained(maxMs: number): Promise<void>;
  stop(): void;
}

export function activeRequests(clock: Clock): ActiveRequests {
  const active = new Set<ActiveRequest>();
  let whenEmpty: (() => void) | undefined;
  const sweep = clock.every(SWEEP_MS, () => {
    const nowMs = clock.monotonicMs();
    for (const request of active) if (request.deadlineMs <= nowMs) request.cancellation.cancel(request.timeout());
  });
  return {
    add: (request) => void active.add(request),
    remove(request) {
      active.delete(request);
      if (active.size === 0) whenEmpty?.();
    },
    get size() {
      return active.size;
    },
    tableChanged({ whole, credentials, table, cuts }) {
      for (const { dispatched } of cuts.size === 0 ? [] : active)
        if (dispatched !== undefined && cuts.has(`${dispatched.pool}/${dispatched.node}`))
          dispatched.cut.cancel(new AppError('upstream.withdrawn'));
      if (!whole && credentials.size === 0) return;
      for (const { cancellation, credentialHash } of active) {
        if (credentialHash === undefined || table.credentials.get(credentialHash) !== undefined) continue;
        cancellation.cancel(new AppError('client.unauthenticated', { message: 'The credential was withdrawn.' }));
      }
    },
    drained(maxMs) {
      return new Promise((resolve) => {
        if (active.size === 0) return resolve();
        const bound = clock.after(maxMs, () => {
          for (const { cancellation } of active) cancellation.cancel(new AppError('platform.starting'));
        });
        whenEmpty = () => {
          bound.cancel();
          resolve();
        };
      });
    },
    stop: () => sweep.cancel(),
  };
}

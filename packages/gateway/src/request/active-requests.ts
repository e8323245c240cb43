/**
 * Requests under way: one sweep enforces all their deadlines, so that no request needs a timer of its own, and a
 * credential that is withdrawn, or a ban, takes its requests with it.
 */
import { AppError } from '@subcloud/contract/errors';
import type { CredentialRow } from '@subcloud/contract/table';
import type { Clock } from '@subcloud/kit/clock';
import { isBanned } from '../access/admission-rule.ts';
import type { RoutingTable, TableChange } from '../table/routing-table.ts';
import type { Cancellation } from './cancellation.ts';

const SWEEP_MS = 500;

/** `more`: of an answer that a node is in the middle of. Its try ends then, and the request may go on elsewhere. */
export type WaitsFor = 'the body' | 'a node' | 'more' | 'the caller to read';

export interface ActiveRequest {
  readonly cancellation: Cancellation;
  /** Monotonic; moved on by whoever sees progress. */
  deadlineMs: number;
  /** Who does not move when the deadline passes: it says what ends then, and whose fault it is. */
  waitsFor: WaitsFor;
  credentialHash: string | undefined;
  /** Where its answer comes from now. */
  dispatched: { readonly pool: string; readonly node: string; readonly cut: Cancellation } | undefined;
}

export interface ActiveRequests {
  add(request: ActiveRequest): void;
  remove(request: ActiveRequest): void;
  readonly size: number;
  /**
   * Cuts what was started with a credential that the table no longer has or by a caller that the pool bans now, and
   * answers of nodes that may see nothing of the pool any more.
   */
  tableChanged(change: TableChange): void;
  /** Resolves when none is left, or cuts the rest after `maxMs`. */
  drained(maxMs: number): Promise<void>;
  stop(): void;
}

/** What is not dispatched now is asked again at its next pick. */
function bansFrom(table: RoutingTable, poolName: string, credential: CredentialRow): boolean {
  const pool = table.pools.get(poolName);
  if (pool?.banned === undefined) return false;
  return isBanned(pool, { credential, groups: table.principals.get(credential.principal)?.groups ?? [] });
}

function endWait({ waitsFor, cancellation, dispatched }: ActiveRequest): void {
  switch (waitsFor) {
    case 'the body':
      return cancellation.cancel(
        new AppError('client.invalid_request', { message: 'The body did not arrive in time.' }),
      );
    case 'the caller to read':
      return cancellation.cancel(new AppError('client.closed_request', { message: 'The caller reads nothing.' }));
    case 'more':
      return (dispatched?.cut ?? cancellation).cancel(new AppError('upstream.timeout'));
    case 'a node':
      return cancellation.cancel(new AppError('upstream.timeout'));
  }
}

export function activeRequests(clock: Clock): ActiveRequests {
  const active = new Set<ActiveRequest>();
  let whenEmpty: (() => void) | undefined;
  const sweep = clock.every(SWEEP_MS, () => {
    const nowMs = clock.monotonicMs();
    for (const request of active) if (request.deadlineMs <= nowMs) endWait(request);
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
    tableChanged({ whole, credentials, table, cuts, bansChanged }) {
      for (const { dispatched } of cuts.size === 0 ? [] : active)
        if (dispatched !== undefined && cuts.has(`${dispatched.pool}/${dispatched.node}`))
          dispatched.cut.cancel(new AppError('upstream.withdrawn'));
      if (!whole && credentials.size === 0 && !bansChanged) return;
      for (const { cancellation, credentialHash, dispatched } of active) {
        if (credentialHash === undefined) continue;
        const credential = table.credentials.get(credentialHash);
        if (credential === undefined)
          cancellation.cancel(new AppError('client.unauthenticated', { message: 'The credential was withdrawn.' }));
        else if (bansChanged && dispatched !== undefined && bansFrom(table, dispatched.pool, credential))
          cancellation.cancel(new AppError('policy.access_denied', { message: 'The caller was banned.' }));
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

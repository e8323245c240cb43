import type { OutputFor } from '@subcloud/sdk/client';

type Drain = OutputFor<'drainNode'>['draining'];

/** How far a drain is, in words. */
export function drainText({ state, inFlight }: Pick<Drain, 'state' | 'inFlight'>): string {
  if (state === 'drained') return 'drained, nothing in flight';
  if (inFlight === null) return 'waiting for what gateways have in flight there';
  if (inFlight === 0) return 'nothing in flight, waiting for every gateway to confirm';
  return `${inFlight} in flight`;
}

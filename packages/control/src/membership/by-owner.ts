/** What the owner's word makes of a membership; the reconciler takes it from there. Pure. */
import type { Membership } from './membership.ts';

/** Undefined while it drains: what is ending is not begun again before it has ended. */
export function invited(stored: Membership | undefined, nowMs: number): Membership | undefined {
  if (stored?.state === 'draining') return undefined;
  if (stored !== undefined && stored.state !== 'left' && stored.state !== 'removed')
    return { ...stored, assigned: true };
  return {
    state: 'invited',
    reason: 'consent',
    sinceMs: nowMs,
    activeSinceMs: null,
    assigned: true,
    // Who departed waits, invited or not.
    cooldownFromMs: stored?.cooldownFromMs ?? null,
    drainsTo: null,
  };
}

/** Who serves finishes what it has, and is no candidate any more; nobody else has anything to finish. */
export function removed(stored: Membership, nowMs: number): Membership {
  const common = { ...stored, reason: 'removed by owner', assigned: false } as const;
  if (stored.state === 'draining') return { ...common, drainsTo: 'removed' };
  if (stored.state === 'active') return { ...common, state: 'draining', drainsTo: 'removed', sinceMs: nowMs };
  const departs = stored.state === 'suspended';
  return { ...common, state: 'removed', sinceMs: nowMs, ...(departs ? { cooldownFromMs: nowMs } : {}) };
}

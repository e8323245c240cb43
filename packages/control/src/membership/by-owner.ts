/** What the owner's word makes of a membership; the reconciler takes it from there. Pure. */
import type { Membership } from './membership.ts';

/** Undefined while it drains: what is ending is not begun again before it has ended. */
export function invited(stored: Membership | undefined, nowMs: number): Membership | undefined {
  if (stored?.state === 'draining') return undefined;
  if (stored !== undefined && stored.state !== 'left' && stored.state !== 'removed' && stored.state !== 'banned')
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

/** The owner's yes to a request, or to a member whose yes has gone; undefined: there is nothing to approve. */
export function approved(stored: Membership | undefined): Membership | undefined {
  const state = stored?.state;
  if (stored === undefined || (state !== 'requested' && state !== 'suspended')) return undefined;
  return stored.assigned ? undefined : { ...stored, assigned: true };
}

/** The owner's no to a request; undefined: there is none. */
export function denied(stored: Membership | undefined, nowMs: number): Membership | undefined {
  if (stored?.state !== 'requested') return undefined;
  return { ...stored, state: 'removed', reason: 'denied by owner', assigned: false, sinceMs: nowMs };
}

/** The operator asks to be in; undefined where there is nothing to ask anew: it is under way, or the owner has said no. */
export function asked(stored: Membership | undefined, nowMs: number): Membership | undefined {
  if (stored !== undefined && stored.state !== 'left') return undefined;
  return {
    state: 'requested',
    reason: 'asked by operator',
    sinceMs: nowMs,
    activeSinceMs: null,
    assigned: false,
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

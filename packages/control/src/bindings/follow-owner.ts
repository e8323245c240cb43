/**
 * What becomes of bindings when their Subcloud changes hands. Whoever said yes said it to the old owner's Subcloud, and
 * the old owner's own yes was implied: both are asked again. The new owner's is implied now. Pure.
 */
import type { PrincipalId } from '@subcloud/policy/principal';
import type { World } from '../world/world.ts';
import { type BindingChange, activeBinding, bindingsOf, consenterOf } from './bindings.ts';

export function followOwner(
  world: World,
  subcloudId: string,
  owner: PrincipalId,
  actor: string,
  nowMs: number,
): BindingChange[] {
  return bindingsOf(world, subcloudId).flatMap((before) => {
    const own = consenterOf(world, before.bound) === owner;
    const elsewhere = activeBinding(world, before.bound);
    const isFree = elsewhere === undefined || elsewhere.id === before.id;
    const state =
      own && before.state !== 'declined' && isFree ? 'active' : before.state === 'active' ? 'offered' : before.state;
    if (state === before.state) return [];
    const after = { ...before, state, sinceMs: nowMs, changedBy: actor } as const;
    return [{ before, after, reason: 'the Subcloud changed hands' }];
  });
}

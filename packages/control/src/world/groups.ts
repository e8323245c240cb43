/**
 * Which teams and organisations a principal belongs to. What an id says by itself is known here: a team is in its
 * organisation.
 */
import type { PrincipalId } from '@subcloud/policy/principal';
import type { World } from './world.ts';

/** Sorted, without the principal itself. Pure. */
export function groupsOf(_world: World, principal: PrincipalId): readonly PrincipalId[] {
  const team = /^team:([^/]+)\//.exec(principal);
  return team === null ? NONE : [`org:${team[1] ?? ''}`];
}
const NONE: readonly PrincipalId[] = [];

/**
 * Which teams and organisations a principal belongs to: those that it is a member of, whatever its role, and what its id
 * says by itself, that a team is in its organisation.
 */
import type { PrincipalId } from '@subcloud/policy/principal';
import { organisationOf } from './people.ts';
import type { World } from './world.ts';

/** Sorted, without the principal itself. Pure. */
export function groupsOf(world: Pick<World, 'people'>, principal: PrincipalId): readonly PrincipalId[] {
  const groups = new Set(world.people.groups.get(principal));
  for (const group of [principal, ...groups]) if (group.startsWith('team:')) groups.add(organisationOf(group));
  return [...groups].sort();
}

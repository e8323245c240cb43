import { expect, test } from 'vitest';
import { groupsOf } from './groups.ts';
import { nobody, setMember } from './people.ts';

test('a team belongs to its organisation, and what an id does not say is not invented', () => {
  const world = { people: nobody() };
  expect(groupsOf(world, 'team:acme/clinical')).toEqual(['org:acme']);
  expect(groupsOf(world, 'user:ann')).toEqual([]);
  expect(groupsOf(world, 'org:acme')).toEqual([]);
});

test('a member belongs to the group whatever its role, to the organisation of its team, and to nothing once it has left', () => {
  const people = nobody();
  const record = { displayName: null, createdAtMs: 0 };
  people.organisations.set('org:acme', { ...record, id: 'org:acme', members: new Map() });
  people.teams.set('team:birch/ml', { ...record, id: 'team:birch/ml', organisation: 'org:birch', members: new Map() });
  setMember(people, 'org:acme', 'user:ann', 'viewer');
  setMember(people, 'team:birch/ml', 'user:ann', 'member');
  expect(groupsOf({ people }, 'user:ann')).toEqual(['org:acme', 'org:birch', 'team:birch/ml']);
  expect(groupsOf({ people }, 'user:bob')).toEqual([]);
  setMember(people, 'org:acme', 'user:ann', undefined);
  setMember(people, 'team:birch/ml', 'user:ann', undefined);
  expect(groupsOf({ people }, 'user:ann')).toEqual([]);
});

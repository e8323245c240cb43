import { expect, test } from 'vitest';
import { groupsOf } from './groups.ts';
import type { World } from './world.ts';

const world = {} as World;

test('a team belongs to its organisation, and what an id does not say is not invented', () => {
  expect(groupsOf(world, 'team:acme/clinical')).toEqual(['org:acme']);
  expect(groupsOf(world, 'user:ann')).toEqual([]);
  expect(groupsOf(world, 'org:acme')).toEqual([]);
});

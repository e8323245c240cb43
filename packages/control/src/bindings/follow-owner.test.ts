import { expect, test } from 'vitest';
import type { World } from '../world/world.ts';
import type { BindingRecord } from './bindings.ts';
import { followOwner } from './follow-owner.ts';

function binding(bound: BindingRecord['bound'], state: BindingRecord['state'], subcloudId = 'moved'): BindingRecord {
  return { id: `${subcloudId} ${bound}`, subcloudId, bound, state, sinceMs: 0, changedBy: 'user:a' };
}
function statesAfter(...records: readonly BindingRecord[]): Record<string, string | undefined> {
  const world = {
    bindings: new Map(records.map((record) => [record.id, record])),
    credentials: new Map([['hash', { id: 'tok_1', principal: 'org:new' }]]),
  } as unknown as World;
  const changes = followOwner(world, 'moved', 'org:new', 'user:a', 1);
  return Object.fromEntries(changes.map(({ before, after }) => [before?.bound ?? '', after?.state]));
}

test('nobody stays bound to a Subcloud that a stranger has taken over, the old owner included', () => {
  expect(statesAfter(binding('org:old', 'active'), binding('user:b', 'active'))).toEqual({
    'org:old': 'offered',
    'user:b': 'offered',
  });
});

test("the new owner's own yes is implied, also for its credentials, but not where it declined or is bound elsewhere", () => {
  expect(statesAfter(binding('org:new', 'offered'), binding('token:tok_1', 'offered'))).toEqual({
    'org:new': 'active',
    'token:tok_1': 'active',
  });
  expect(statesAfter(binding('org:new', 'active'))).toEqual({});
  expect(statesAfter(binding('org:new', 'declined'))).toEqual({});
  expect(statesAfter(binding('org:new', 'offered'), binding('org:new', 'active', 'other'))).toEqual({});
});

test('bindings of other Subclouds, and those that nobody has accepted, stay as they are', () => {
  expect(
    statesAfter(binding('user:b', 'active', 'other'), binding('user:c', 'offered'), binding('user:d', 'declined')),
  ).toEqual({});
});

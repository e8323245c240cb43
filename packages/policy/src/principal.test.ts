import { expect, it } from 'vitest';
import { isPrincipalId } from './principal.ts';

it.each(['user:a', 'org:acme', 'team:acme/ml', 'user:a.b_c-d', `org:${'x'.repeat(63)}`])('%s is a principal', (id) => {
  expect(isPrincipalId(id)).toBe(true);
});

it.each([
  '',
  'acme',
  'org:',
  'org:-a',
  'org:a-',
  'Org:acme',
  'org:Acme',
  'org:acme/ml',
  'team:acme',
  'team:acme/',
  'team:/ml',
  'team:acme/ml/x',
  'group:acme',
  'org:acme\n',
  ' org:acme',
  'org:a b',
  `org:${'x'.repeat(64)}`,
])('%j is none', (id) => {
  expect(isPrincipalId(id)).toBe(false);
});

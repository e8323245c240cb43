/** What a revision takes without the operator's yes is not held; what was agreed to is, until the last answer. */
import type { Isolation } from '@subcloud/policy/consent';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { GLOBAL, LAB, NOW, subcloud, world } from './testing/one-node.ts';

const NO_AUTO_JOIN = { mode: 'open', autoJoin: false } as const;

it('keeps the node in the global network while it leaves what isolated it without ever being allowed to', () => {
  const node = world([subcloud('lab'), GLOBAL]);
  node.step({});
  expect(node.at.memberships.get('global')?.state).toBe('active');
  const agreed = new Map<string, Isolation>([['lab', 'shared']]);
  node.step({ subclouds: [subcloud('lab', { isolation: 'isolate', participation: NO_AUTO_JOIN }), GLOBAL], agreed });
  expect(node.lab()).toBe('draining: isolation not agreed');
  expect(node.at.memberships.get('global')?.state).toBe('active');
  node.step({ drained: ['lab'] });
  expect(node.lab()).toBe('left: consent');
});

it('keeps it out while it leaves what isolated it by agreement, however the yes ended', () => {
  const isolate = fc.constantFrom('autoJoin', 'consent', 'less');
  fc.assert(
    fc.property(isolate, (how) => {
      const node = world([subcloud('lab', { isolation: 'isolate' }), GLOBAL], { isolation: 'isolate' });
      node.step({});
      const agreed = new Map<string, Isolation>([['lab', 'isolate']]);
      const { consent } = node.at;
      const revised = [subcloud('lab', { isolation: 'isolate', participation: NO_AUTO_JOIN }), GLOBAL];
      if (how === 'autoJoin') node.step({ agreed, subclouds: revised });
      else if (how === 'consent') node.step({ agreed, consent: { ...consent, autoJoin: 'none' } });
      else node.step({ agreed, consent: { ...consent, isolation: 'shared' } });
      expect(node.lab()).toBe('draining: consent');
      expect(node.at.memberships.has('global')).toBe(false);
      node.step({ agreed, drained: ['lab'] });
      expect(node.at.memberships.get('global')?.state).toBe('active');
    }),
  );
});

it('does not let it back because an exclusive one that has lost its yes keeps others from joining', () => {
  const subclouds = [
    subcloud('lab', { isolation: 'isolate' }),
    subcloud('alone', { isolation: 'exclusive', participation: NO_AUTO_JOIN }),
    GLOBAL,
  ];
  const held = { reason: 'joined', activeSinceMs: NOW, sinceMs: NOW, assigned: false, cooldownFromMs: null };
  const node = world(subclouds, { isolation: 'isolate' });
  node.at.memberships = new Map([
    ['global', { ...held, state: 'active', drainsTo: null }],
    [LAB, { ...held, state: 'active', drainsTo: null }],
    ['sub_alone', { ...held, state: 'draining', reason: 'consent', drainsTo: 'left' }],
  ]);
  node.step({});
  expect(node.lab()).toBe('active: joined');
  expect(node.at.memberships.has('global')).toBe(false);
});

it('holds it again where a restore has lost what was agreed to meanwhile', () => {
  const node = world([subcloud('lab'), GLOBAL]);
  node.step({});
  const subclouds = [subcloud('lab', { isolation: 'isolate', participation: NO_AUTO_JOIN }), GLOBAL];
  node.step({ subclouds, agreed: new Map<string, Isolation>([['lab', 'shared']]) });
  expect(node.lab()).toBe('draining: isolation not agreed');
  node.at.agreed = undefined;
  node.step({});
  expect(node.lab()).toBe('draining: consent');
  expect(node.at.memberships.has('global')).toBe(false);
});

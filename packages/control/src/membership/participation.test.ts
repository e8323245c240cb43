/** Owners and operators who answer each other in any order, and bans: what holds after every event. */
import { type Consent, NO_CONSENT } from '@subcloud/policy/consent';
import { unseen, untilSeen } from '@subcloud/testkit/until-seen';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { approved, asked, denied, invited, removed } from './by-owner.ts';
import { INVITATION_VALID_MS, type Membership, type ReconcileResult, reconcileNode } from './reconcile.ts';
import { GLOBAL, LAB, NOW, claims, subcloud } from './testing/one-node.ts';

const HOUR_MS = 3_600_000;
const EVENTS = [
  'approve',
  'deny',
  'invite',
  'remove',
  'ask',
  'ban',
  'lift',
  'yes',
  'auto',
  'no',
  'idle',
  'busy',
  'hour',
  'week',
  'fail',
  'pass',
] as const;
type Event = (typeof EVENTS)[number];

function play(events: readonly Event[], check: (at: State, result: ReconcileResult, event: Event) => void): void {
  const lab = subcloud('lab', { participation: { mode: 'semi-open', autoJoin: true }, cooldownMs: 0, tier: 'gold' });
  const at: State = {
    nowMs: NOW,
    tier: 'gold',
    consent: { ...NO_CONSENT, global: true },
    banned: false,
    idle: true,
    memberships: new Map(),
  };
  const look = (): ReconcileResult =>
    reconcileNode({
      node: {
        id: 'nod_1',
        operator: 'user:op',
        consent: at.consent,
        facts: { nodeId: 'nod_1', operator: 'user:op', claims: claims(at.tier, ['m']), lastSeenAt: null },
        drained: new Set(at.idle ? ['lab'] : []),
      },
      memberships: at.memberships,
      subclouds: [lab, GLOBAL],
      nowMs: at.nowMs,
      absenceCounts: true,
      ...(at.banned ? { banned: new Set([LAB]) } : {}),
    });
  for (const event of events) {
    happen(at, event);
    const result = look();
    at.memberships = result.memberships;
    expect(look().changes, `a second pass after ${event}`).toEqual([]);
    check(at, result, event);
  }
}

interface State {
  nowMs: number;
  tier: string;
  consent: Consent;
  banned: boolean;
  idle: boolean;
  memberships: ReadonlyMap<string, Membership>;
}

function happen(at: State, event: Event): void {
  const stored = at.memberships.get(LAB);
  const put = (next: Membership | undefined): void => {
    if (next !== undefined) at.memberships = new Map(at.memberships).set(LAB, next);
  };
  switch (event) {
    case 'approve':
      return put(approved(stored));
    case 'deny':
      return put(denied(stored, at.nowMs));
    case 'invite':
      return put(invited(stored, at.nowMs));
    case 'remove':
      return put(stored === undefined ? undefined : removed(stored, at.nowMs));
    case 'ask':
      at.consent = { ...at.consent, join: ['lab'], leave: [] };
      return put(asked(stored, at.nowMs));
    case 'yes':
      at.consent = { ...at.consent, join: ['lab'], leave: [] };
      return undefined;
    case 'auto':
      at.consent = { ...at.consent, join: [], autoJoin: 'all', leave: [] };
      return undefined;
    case 'no':
      at.consent = { ...at.consent, join: [], autoJoin: 'none', leave: ['lab'] };
      return undefined;
    case 'ban':
    case 'lift':
      at.banned = event === 'ban';
      return undefined;
    case 'idle':
    case 'busy':
      at.idle = event === 'idle';
      return undefined;
    case 'hour':
    case 'week':
      at.nowMs += event === 'hour' ? HOUR_MS : INVITATION_VALID_MS;
      return undefined;
    case 'fail':
    case 'pass':
      at.tier = event === 'pass' ? 'gold' : 'silver';
      return undefined;
  }
}

test('whatever people answer in whatever order: nobody is in without both their yes, or against a ban', async () => {
  const seen = new Set<string>();
  const round = (): void =>
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...EVENTS), { maxLength: 30 }), (events) => {
        /** The owner has said no, and has not invited since. */
        let refused = false;
        play(events, (at, _result, event) => {
          const now = at.memberships.get(LAB);
          if (now !== undefined) seen.add(`${now.state}: ${now.reason}`);
          if (event === 'invite') refused = false;
          if (now?.state === 'removed') refused = true;
          if (now?.state === 'banned') refused = false;
          const yes = at.consent.join.includes('lab') || at.consent.autoJoin === 'all';
          if (now?.state === 'active') {
            expect([now.assigned, yes, at.banned, refused, at.tier]).toEqual([true, true, false, false, 'gold']);
          }
          if (at.banned && now !== undefined) {
            expect(['banned', 'draining']).toContain(now.state);
            if (now.state === 'draining') expect([at.idle, now.drainsTo]).toEqual([false, 'banned']);
          }
          if (!at.banned) expect(now?.state).not.toBe('banned');
          if (now?.state === 'requested' || now?.state === 'invited')
            expect(at.nowMs - now.sinceMs).toBeLessThan(INVITATION_VALID_MS);
        });
      }),
      { numRuns: 3_000 },
    );
  const reached = [
    'requested: approval',
    'active: joined',
    'removed: denied by owner',
    'removed: removed by owner',
    'draining: banned',
    'banned: banned',
    'left: ban lifted',
    'left: consent',
    'left: request expired',
    'left: invitation expired',
  ];
  expect(await untilSeen(round, () => unseen(reached, seen))).toEqual([]);
});

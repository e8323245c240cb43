/** The state table of the protocol, transition by transition. Random fleets and event orders are in tests/promises. */
import { type Consent, NO_CONSENT } from '@subcloud/policy/consent';
import { DEFAULT_MAX_AGE_MS } from '@subcloud/policy/manifest';
import { describe, expect, it } from 'vitest';
import { INVITATION_VALID_MS, OFFLINE_AT_MOST_MS, SUSPENDED_AT_MOST_MS, reconcileNode } from './reconcile.ts';
import {
  ASKED,
  GLOBAL,
  GOLD,
  LAB,
  NOW,
  PRIVATE,
  claims,
  reconcile,
  states,
  subcloud,
  type Given,
  type Situation,
} from './testing/situation.ts';

describe('a node that is no member', () => {
  it('joins an open Subcloud that takes it by itself, and the global network beside it', () => {
    const result = reconcile([subcloud('lab'), GLOBAL]);
    expect(states(result)).toEqual({ [LAB]: 'active: joined', global: 'active: joined' });
    expect(result.changes.map(({ from, to }) => [from, to?.state])).toEqual([
      [null, 'active'],
      [null, 'active'],
    ]);
    expect(result.memberships.get(LAB)).toEqual({
      state: 'active',
      reason: 'joined',
      sinceMs: NOW,
      activeSinceMs: NOW,
      assigned: false,
      cooldownFromMs: null,
      drainsTo: null,
    });
  });

  it.each<readonly [string, Given, Situation, string]>([
    ['whose operator lets nobody take it', {}, { consent: { autoJoin: 'none' } }, 'consent'],
    ['where nobody asked and autoJoin is off', { participation: ASKED }, {}, 'consent'],
    [
      'that is private and did not invite it',
      { participation: PRIVATE },
      { consent: { join: ['lab'] } },
      'not invited',
    ],
    [
      'that isolates more than its operator lets it',
      { isolation: 'isolate' },
      { consent: { isolation: 'shared' } },
      'consent',
    ],
    ['one of whose clauses fails', { nodes: GOLD }, { claims: claims('silver') }, 'nodes.labels'],
    ['while it serves no model', {}, { claims: [] }, 'models.allow'],
    ['after it was away for a week', {}, { lastSeenAt: NOW - OFFLINE_AT_MOST_MS }, 'offline'],
  ])('has no row in a Subcloud %s', (_, given, situation, reason) => {
    const result = reconcile([subcloud('lab', given)], situation);
    expect(result.memberships.size).toBe(0);
    expect(result.changes).toEqual([]);
    expect(result.verdicts.get(LAB)?.reason).toBe(reason);
  });

  it('joins an open Subcloud that its operator names, though that takes nobody by itself', () => {
    const lab = subcloud('lab', { participation: ASKED });
    expect(states(reconcile([lab], { consent: { autoJoin: 'none', join: ['lab'] } }))).toEqual({
      [LAB]: 'active: joined',
    });
  });
});

describe('an invited node', () => {
  const lab = subcloud('lab', { participation: PRIVATE, isolation: 'isolate' });
  const invited = { [LAB]: { state: 'invited', reason: 'consent' } } as const;
  const silent = { autoJoin: 'none', isolation: 'shared' } as const;

  it('joins when its operator says yes by name, and for as much isolation', () => {
    const yes = { ...silent, join: [{ name: 'lab', isolation: 'isolate' as const }] };
    expect(states(reconcile([lab, GLOBAL], { memberships: invited, consent: yes }))).toEqual({
      [LAB]: 'active: joined',
    });
  });

  it.each<readonly [string, Partial<Consent>]>([
    ['says nothing', silent],
    [
      'lets everybody take it by themselves, which is no yes to an invitation',
      { autoJoin: 'all', isolation: 'exclusive' },
    ],
    ['names it without covering its isolation', { ...silent, join: ['lab'] }],
  ])('stays invited, and global, while its operator %s', (_, consent) => {
    expect(states(reconcile([lab, GLOBAL], { memberships: invited, consent }))).toEqual({
      [LAB]: 'invited: consent',
      global: 'active: joined',
    });
  });

  it('joins without a further yes where operator and owner are the same', () => {
    const result = reconcile([lab, GLOBAL], { memberships: invited, consent: silent, operator: 'org:acme' });
    expect(states(result)).toEqual({ [LAB]: 'active: joined' });
  });

  it('is not in before its facts are', () => {
    const picky = subcloud('lab', { participation: PRIVATE, nodes: GOLD });
    const given = { memberships: invited, claims: claims('silver'), consent: { join: ['lab'] } };
    expect(states(reconcile([picky], given))).toEqual({ [LAB]: 'invited: nodes.labels' });
  });

  it('is invited no more after seven days, to the millisecond', () => {
    const at = (agoMs: number): Record<string, string> =>
      states(
        reconcile([lab], {
          memberships: { [LAB]: { state: 'invited', reason: 'consent', sinceMs: NOW - agoMs } },
          consent: silent,
        }),
      );
    expect(at(INVITATION_VALID_MS - 1)).toEqual({ [LAB]: 'invited: consent' });
    expect(at(INVITATION_VALID_MS)).toEqual({ [LAB]: 'left: invitation expired' });
  });

  it('cannot accept an invitation that has expired, but an open Subcloud takes it without one', () => {
    const late = { [LAB]: { state: 'invited', reason: 'consent', sinceMs: NOW - INVITATION_VALID_MS } } as const;
    const yes = { join: [{ name: 'lab', isolation: 'isolate' as const }] };
    expect(states(reconcile([lab], { memberships: late, consent: yes }))).toEqual({
      [LAB]: 'left: invitation expired',
    });
    const open = reconcile([subcloud('lab')], { memberships: late, consent: yes });
    expect(open.memberships.get(LAB)).toMatchObject({ state: 'active', assigned: false });
    // The owner's own node needs the assignment, and that is over.
    const own = { memberships: late, consent: silent, operator: 'org:acme' as const };
    expect(states(reconcile([subcloud('lab')], own))).toEqual({ [LAB]: 'left: invitation expired' });
  });
});

describe('an active member', () => {
  const active = { [LAB]: { state: 'active' } } as const;

  it('stays as it is while all three agree', () => {
    const result = reconcile([subcloud('lab', { nodes: GOLD })], { memberships: active });
    expect(result.changes).toEqual([]);
  });

  it('is suspended at once when a clause fails, and keeps the time when it became active', () => {
    const result = reconcile([subcloud('lab', { nodes: GOLD })], { memberships: active, claims: claims('silver') });
    expect(result.memberships.get(LAB)).toEqual({
      state: 'suspended',
      reason: 'nodes.labels',
      sinceMs: NOW,
      activeSinceMs: NOW - 1_000,
      assigned: false,
      cooldownFromMs: null,
      drainsTo: null,
    });
  });

  it('drains when its operator says no, and has left when nothing is in flight; while suspended it leaves at once', () => {
    const no = { consent: { autoJoin: 'none' } } as const;
    expect(states(reconcile([subcloud('lab')], { ...no, memberships: active }))).toEqual({
      [LAB]: 'draining: consent',
    });
    const nothing = [
      { ...no, memberships: active, drained: ['lab'] },
      { ...no, memberships: active, lastSeenAt: NOW - 10 },
      { ...no, memberships: { [LAB]: { state: 'suspended' } } },
    ] as const;
    for (const given of nothing)
      expect(states(reconcile([subcloud('lab')], given))).toEqual({ [LAB]: 'left: consent' });
  });

  it('leaves when a revision isolates more than its operator agreed to', () => {
    const given = {
      memberships: { ...active, global: {} },
      consent: { autoJoin: 'all', isolation: 'shared' },
    } as const;
    expect(states(reconcile([subcloud('lab', { isolation: 'isolate' }), GLOBAL], given))).toEqual({
      [LAB]: 'left: consent',
      global: 'active: joined',
    });
  });

  it('leaves the global network when a revision isolates and its operator agreed to that', () => {
    const given = { memberships: { ...active, global: {} } };
    const result = reconcile([subcloud('lab', { isolation: 'isolate' }), GLOBAL], given);
    expect(states(result)).toEqual({ [LAB]: 'active: joined' });
    expect(result.changes).toMatchObject([{ subcloudId: 'global', to: null }]);
    expect(result.verdicts.get('global')?.reason).toBe('isolation');
  });

  it('is suspended, not admitted, by a revision that makes the Subcloud private', () => {
    const result = reconcile([subcloud('lab', { participation: PRIVATE })], {
      memberships: active,
      consent: { join: ['lab'] },
    });
    expect(states(result)).toEqual({ [LAB]: 'suspended: not invited' });
  });

  it('ends after a week away, but not before control has heard from the gateways', () => {
    const away = { memberships: active, lastSeenAt: NOW - OFFLINE_AT_MOST_MS };
    expect(states(reconcile([subcloud('lab')], away))).toEqual({ [LAB]: 'left: offline' });
    expect(states(reconcile([subcloud('lab')], { ...away, absenceCounts: false }))).toEqual({
      [LAB]: 'active: joined',
    });
    const nearly = { memberships: active, lastSeenAt: NOW - OFFLINE_AT_MOST_MS + 1 };
    expect(states(reconcile([subcloud('lab')], nearly))).toEqual({ [LAB]: 'active: joined' });
  });

  it('loses its membership, and what that held, with the Subcloud', () => {
    const result = reconcile([GLOBAL], { memberships: active });
    expect(states(result)).toEqual({ [LAB]: 'removed: subcloud deleted', global: 'active: joined' });
    const again = reconcileNode({
      node: {
        id: 'nod_1',
        operator: 'user:op',
        consent: NO_CONSENT,
        facts: { nodeId: 'nod_1', operator: 'user:op', claims: [], lastSeenAt: null },
      },
      memberships: result.memberships,
      subclouds: [],
      nowMs: NOW,
      absenceCounts: true,
    });
    expect(again.memberships.get(LAB)).toEqual(result.memberships.get(LAB));
  });
});

describe('a suspended member', () => {
  const lab = subcloud('lab', { isolation: 'isolate', nodes: GOLD });
  const suspended = { [LAB]: { state: 'suspended', reason: 'nodes.labels' } } as const;

  it('is held: it does not come back to the global network', () => {
    const result = reconcile([lab, GLOBAL], { memberships: suspended, claims: claims('silver') });
    expect(states(result)).toEqual({ [LAB]: 'suspended: nodes.labels' });
  });

  it('is active again as soon as its clauses pass', () => {
    const result = reconcile([lab, GLOBAL], { memberships: suspended });
    expect(result.memberships.get(LAB)).toMatchObject({
      state: 'active',
      reason: 'eligible again',
      sinceMs: NOW,
      activeSinceMs: NOW - 1_000,
    });
  });

  it('is let go after a week, and then it is global again', () => {
    const since = (agoMs: number): Situation => ({
      memberships: { [LAB]: { ...suspended[LAB], sinceMs: NOW - agoMs } },
      claims: claims('silver'),
    });
    expect(states(reconcile([lab, GLOBAL], since(SUSPENDED_AT_MOST_MS - 1)))).toEqual({
      [LAB]: 'suspended: nodes.labels',
    });
    expect(states(reconcile([lab, GLOBAL], since(SUSPENDED_AT_MOST_MS)))).toEqual({
      [LAB]: 'left: suspended too long',
      global: 'active: joined',
    });
  });

  it('counts its week from the suspension, not from the last reason for it', () => {
    const other = subcloud('lab', { nodes: { operators: { in: ['org:acme'] } } });
    const result = reconcile([other], { memberships: suspended, claims: claims('silver') });
    expect(result.memberships.get(LAB)).toMatchObject({ reason: 'nodes.operators', sinceMs: NOW - 1_000 });
  });
});

describe('a membership that ended', () => {
  it('by removal never begins again by itself, whatever operator, owner and facts say', () => {
    const removed = { [LAB]: { state: 'removed', reason: 'removed by owner' } } as const;
    const given = { memberships: removed, consent: { join: ['lab'] }, operator: 'org:acme' as const };
    const result = reconcile([subcloud('lab'), GLOBAL], given);
    expect(states(result)).toEqual({ [LAB]: 'removed: removed by owner', global: 'active: joined' });
  });

  it('by leaving begins again in an open Subcloud when the operator’s word allows it, with a new beginning', () => {
    const left = { [LAB]: { state: 'left', reason: 'consent' } } as const;
    expect(reconcile([subcloud('lab')], { memberships: left }).memberships.get(LAB)).toMatchObject({
      state: 'active',
      activeSinceMs: NOW,
    });
    const privately = subcloud('lab', { participation: PRIVATE });
    const given = { memberships: left, consent: { join: ['lab'] } };
    expect(states(reconcile([privately], given))).toEqual({ [LAB]: 'left: consent' });
  });

  it('by absence begins again only with a link', () => {
    const left = { [LAB]: { state: 'left', reason: 'offline' } } as const;
    const lab = subcloud('lab');
    expect(states(reconcile([lab], { memberships: left, lastSeenAt: NOW - 10 }))).toEqual({ [LAB]: 'left: offline' });
    expect(states(reconcile([lab], { memberships: left }))).toEqual({ [LAB]: 'active: joined' });
  });

  it('holds nothing', () => {
    for (const state of ['left', 'removed', 'invited', 'requested'] as const) {
      const lab = subcloud('lab', { isolation: 'isolate', participation: PRIVATE });
      const result = reconcile([lab, GLOBAL], { memberships: { [LAB]: { state, activeSinceMs: null } } });
      expect(result.memberships.get('global')?.state).toBe('active');
    }
  });
});

describe('when to look again', () => {
  it('is never, where nothing depends on time', () => {
    expect(reconcile([subcloud('lab'), GLOBAL]).dueMs).toBeNull();
  });

  it('is when a claim expires, also one that only contradicts another', () => {
    const expiring = claims('gold', { expiresAt: NOW + 500 });
    expect(reconcile([subcloud('lab')], { claims: expiring }).dueMs).toBe(NOW + 500);
    const contradicted = [...claims('gold'), ...claims('silver', { expiresAt: NOW + 700 }).slice(1)];
    const result = reconcile([subcloud('lab', { nodes: GOLD })], { claims: contradicted });
    expect([result.memberships.size, result.dueMs]).toEqual([0, NOW + 700]);
  });

  it('is when a measurement of a linked node would be too old, if nobody confirms it', () => {
    const measured = claims('gold', { source: 'measured', confirmedAt: NOW - 10 });
    expect(reconcile([subcloud('lab')], { claims: measured }).dueMs).toBe(NOW - 10 + DEFAULT_MAX_AGE_MS + 1);
  });

  it('is when an invitation, a suspension or an absence has lasted long enough', () => {
    const at = (given: Situation): number | null =>
      reconcile([subcloud('lab', { nodes: GOLD, participation: PRIVATE })], given).dueMs;
    const sinceMs = NOW - 1_000;
    expect(at({ memberships: { [LAB]: { state: 'invited' } } })).toBe(sinceMs + INVITATION_VALID_MS);
    const join = { consent: { join: ['lab'] }, claims: claims('silver') };
    expect(at({ ...join, memberships: { [LAB]: { state: 'suspended', assigned: true } } })).toBe(
      sinceMs + SUSPENDED_AT_MOST_MS,
    );
    const away = { lastSeenAt: NOW - 60_000, consent: { join: ['lab'] } };
    expect(at({ ...away, memberships: { [LAB]: { state: 'active', assigned: true } } })).toBe(
      NOW - 60_000 + OFFLINE_AT_MOST_MS,
    );
  });
});

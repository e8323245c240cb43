/** How a node comes back: requests, cooldowns, draining. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { invited, removed } from './by-owner.ts';
import { DRAIN_TIMEOUT_MS, INVITATION_VALID_MS, SUSPENDED_AT_MOST_MS } from './reconcile.ts';
import { COOLDOWN_MS, GLOBAL, LAB, NOW, subcloud, world } from './testing/one-node.ts';

const ASKED = { mode: 'open', autoJoin: false } as const;
const PRIVATE = { mode: 'private', autoJoin: false } as const;

describe('a request', () => {
  const ask = { autoJoin: 'none' as const, join: ['lab'] };
  const gold = subcloud('lab', { participation: ASKED, tier: 'gold' });

  it('stands while the node is not eligible, and becomes a membership when it is', () => {
    const node = world([gold], ask);
    node.step({ tier: 'silver' });
    expect(node.lab()).toBe('requested: nodes.labels');
    node.step({ tier: 'gold' });
    expect(node.lab()).toBe('active: joined');
  });

  it('is made by name only: who may merely be taken has no row, nor has who asks where only the owner assigns', () => {
    const auto = world([subcloud('lab', { tier: 'gold' })]);
    auto.step({ tier: 'silver' });
    expect(auto.lab()).toBe('none');
    const privately = world([subcloud('lab', { participation: PRIVATE, tier: 'gold' })], ask);
    privately.step({ tier: 'silver' });
    expect(privately.lab()).toBe('none');
  });

  it('runs out after seven days to the millisecond, holds nothing, and the standing yes still joins', () => {
    const node = world([subcloud('lab', { participation: ASKED, tier: 'gold', isolation: 'isolate' }), GLOBAL], {
      ...ask,
      isolation: 'isolate',
    });
    const { dueMs } = node.step({ tier: 'silver' });
    expect(dueMs).toBe(NOW + INVITATION_VALID_MS);
    expect(node.at.memberships.get('global')?.state).toBe('active');
    node.step({}, INVITATION_VALID_MS - 1);
    expect(node.lab()).toBe('requested: nodes.labels');
    node.step({}, 1);
    expect(node.lab()).toBe('left: request expired');
    node.step({ tier: 'gold' });
    expect(node.lab()).toBe('active: joined');
  });

  it('ends with the word that made it, and can be made again', () => {
    const node = world([gold], ask);
    node.step({ tier: 'silver' });
    node.step({ consent: { ...node.at.consent, join: [] } });
    expect(node.lab()).toBe('left: consent');
    node.step({ consent: { ...node.at.consent, join: ['lab'] } });
    expect(node.lab()).toBe('requested: nodes.labels');
  });
});

describe('the cooldown', () => {
  it('runs from when everything passes again, and anew after each failure', () => {
    const node = world([subcloud('lab', { tier: 'gold' })]);
    node.step();
    node.step({ tier: 'silver' }, 1_000);
    expect(node.step({ tier: 'gold' }, 1_000).dueMs).toBe(NOW + 2_000 + COOLDOWN_MS);
    expect(node.lab()).toBe('suspended: cooldown');
    node.step({ tier: 'silver' }, COOLDOWN_MS - 1);
    node.step({ tier: 'gold' }, 1);
    node.step({}, COOLDOWN_MS - 1);
    expect(node.lab()).toBe('suspended: cooldown');
    node.step({}, 1);
    expect(node.lab()).toBe('active: eligible again');
    expect(node.at.memberships.get(LAB)?.activeSinceMs).toBe(NOW);
  });

  it('holds up whoever departed, however it comes back: by itself, by asking, by invitation', () => {
    const away = { leave: ['lab'] };
    for (const back of ['itself', 'asking', 'invitation'] as const) {
      const node = world([subcloud('lab')]);
      node.step();
      if (back === 'invitation') {
        node.step({ consent: { ...node.at.consent, join: ['lab'] } });
        node.owner(removed);
        node.step({ drained: ['lab'] });
        expect(node.lab()).toBe('removed: removed by owner');
        node.owner(invited);
      } else {
        node.step({ consent: { ...node.at.consent, ...away }, drained: ['lab'] });
        expect(node.lab()).toBe('left: consent');
        node.step({ consent: { ...node.at.consent, leave: [], ...(back === 'asking' ? { join: ['lab'] } : {}) } });
      }
      const { dueMs, verdicts } = node.step({ drained: [] }, COOLDOWN_MS - 1);
      expect(verdicts.get(LAB)?.reason, back).toBe('cooldown');
      expect(node.at.memberships.get(LAB)?.state, back).not.toBe('active');
      expect(dueMs).toBe(NOW + COOLDOWN_MS);
      node.step({}, 1);
      expect(node.at.memberships.get(LAB)?.state, back).toBe('active');
    }
  });

  it('does not hold up a first membership', () => {
    const node = world([subcloud('lab')]);
    node.step();
    expect(node.lab()).toBe('active: joined');
  });

  it('does not keep a suspension alive for longer than a week', () => {
    const node = world([subcloud('lab', { tier: 'gold', isolation: 'isolate' }), GLOBAL], { isolation: 'isolate' });
    node.step();
    node.step({ tier: 'silver' });
    for (let passed = 0; passed < SUSPENDED_AT_MOST_MS; passed += COOLDOWN_MS / 2)
      node.step({ tier: passed % COOLDOWN_MS === 0 ? 'gold' : 'silver' }, COOLDOWN_MS / 2);
    expect(node.lab()).toBe('left: suspended too long');
    expect(node.at.memberships.get('global')?.state).toBe('active');
  });

  it('of any length makes flapping facts and words no flapping membership: active at most once per cooldown', () => {
    const event = fc.record({
      what: fc.constantFrom(
        'gold',
        'silver',
        'no',
        'yes',
        'rule',
        'answered',
        'away',
        'back',
        'time',
        'invite',
        'remove',
      ),
      afterMs: fc.constantFrom(0, 1, 1_000, COOLDOWN_MS / 3, COOLDOWN_MS - 1),
    });
    let activations = 0;
    let suspensions = 0;
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 20, maxLength: 60 }),
        fc.constantFrom('shared', 'isolate'),
        (events, isolation) => {
          const node = world([subcloud('lab', { tier: 'gold', isolation }), GLOBAL], { isolation: 'isolate' });
          const begun: number[] = [];
          let state: string | undefined;
          const note = (): void => {
            const next = node.at.memberships.get(LAB)?.state;
            if (next === 'active' && state !== 'active') begun.push(node.at.nowMs);
            if (next === 'suspended' && state !== 'suspended') suspensions += 1;
            state = next;
          };
          node.step();
          note();
          for (const { what, afterMs } of events) {
            if (what === 'invite') node.owner(invited);
            if (what === 'remove') node.owner(removed);
            node.step(
              {
                ...(what === 'gold' || what === 'silver' ? { tier: what } : {}),
                ...(what === 'no' ? { consent: { ...node.at.consent, autoJoin: 'none', join: [] } } : {}),
                ...(what === 'yes' ? { consent: { ...node.at.consent, join: ['lab'] } } : {}),
                ...(what === 'rule' ? { consent: { ...node.at.consent, autoJoin: 'all' } } : {}),
                ...(what === 'away' ? { lastSeenAt: node.at.nowMs } : {}),
                ...(what === 'back' ? { lastSeenAt: null } : {}),
                drained: what === 'answered' && state === 'draining' ? ['lab'] : [],
              },
              afterMs,
            );
            note();
          }
          begun.forEach((at, index) => {
            const before = begun[index - 1];
            if (before !== undefined) expect(at - before).toBeGreaterThanOrEqual(COOLDOWN_MS);
          });
          activations += Math.max(0, begun.length - 1);
        },
      ),
      { numRuns: 400 },
    );
    expect(activations).toBeGreaterThan(100);
    expect(suspensions).toBeGreaterThan(100);
  });
});

describe('draining', () => {
  const lab = subcloud('lab', { isolation: 'isolate', cooldownMs: 0 });

  it('keeps what an isolating Subcloud held until the last answer, and no longer than ten minutes', () => {
    for (const end of ['answered', 'timeout'] as const) {
      const node = world([lab, GLOBAL], { isolation: 'isolate' });
      node.step();
      const { dueMs, verdicts } = node.step({ consent: { ...node.at.consent, leave: ['lab'] } });
      expect(node.lab()).toBe('draining: consent');
      expect([dueMs, verdicts.get(LAB)?.reason, verdicts.get('global')?.reason]).toEqual([
        NOW + DRAIN_TIMEOUT_MS,
        'leaving',
        'isolation',
      ]);
      expect(node.at.memberships.has('global')).toBe(false);
      node.step({}, DRAIN_TIMEOUT_MS - 1);
      expect(node.lab()).toBe('draining: consent');
      node.step(end === 'answered' ? { drained: ['lab'] } : {}, end === 'answered' ? 0 : 1);
      expect(node.lab()).toBe('left: consent');
      expect(node.at.memberships.get('global')?.state).toBe('active');
    }
  });

  it('ends, also where the operator has changed its mind: what ends begins anew', () => {
    const node = world([lab]);
    node.at.consent = { ...node.at.consent, isolation: 'isolate' };
    node.step();
    node.step({ consent: { ...node.at.consent, leave: ['lab'] } }, 10);
    node.step({ consent: { ...node.at.consent, leave: [] } }, 10);
    expect(node.lab()).toBe('draining: consent');
    node.step({ drained: ['lab'] }, 10);
    expect(node.lab()).toBe('active: joined');
    expect(node.at.memberships.get(LAB)?.activeSinceMs).toBe(NOW + 30);
  });

  it('is left by removal, too, and cannot be undone by an invitation before it has ended', () => {
    const node = world([subcloud('lab')]);
    node.step();
    node.owner(removed);
    node.step();
    expect(node.lab()).toBe('draining: removed by owner');
    node.owner(invited);
    node.step();
    expect(node.lab()).toBe('draining: removed by owner');
    node.step({ drained: ['lab'] });
    expect(node.lab()).toBe('removed: removed by owner');
  });

  it('holds nothing that was never agreed to: more isolation in a revision ends the membership at once', () => {
    const node = world([subcloud('lab'), GLOBAL]);
    node.step();
    node.step({ subclouds: [lab, GLOBAL] });
    expect(node.lab()).toBe('left: consent');
    expect(node.at.memberships.get('global')?.state).toBe('active');
  });
});

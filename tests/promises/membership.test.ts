/** Promises 1, 2 and 4 for memberships: what the reconciler makes of any fleet, any manifests and any order of events. */
import { holds } from '@subcloud/control/membership/reconcile';
import { unseen, untilSeen } from '@subcloud/testkit/until-seen';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { claims, consent, fresh, NOW, principal, runs } from './arbitraries.ts';
import { saysYes } from './oracle-memberships.ts';
import { type Fleet, type FleetEvent, createFleet, fleetEvent, startingFleet } from './fleet.ts';
import { eligibility, operatorLetsAutoJoin, operatorNames, ownerSaysYes } from './oracle.ts';

const RUNS = runs(1_000);
const SMALL = { id: 'lab/small', digest: null, quantization: null, modalities: null, contextLength: null };
const events = fc.array(fleetEvent, { maxLength: 25 });

/** Runs a property on the fleet as it is at first and after each event. */
function always(check: (fleet: Fleet, event: FleetEvent | undefined) => void, numRuns = RUNS.numRuns): void {
  fc.assert(
    fc.property(startingFleet, events, (start, happening) => {
      const fleet = createFleet(start);
      check(fleet, undefined);
      for (const event of happening) {
        fleet.apply(event);
        check(fleet, event);
      }
    }),
    { numRuns },
  );
}

describe('after any events', { timeout: 120_000 }, () => {
  it('every membership is what the rules say, and so is that there is none', async () => {
    const seen = new Set<string>();
    const check = (fleet: Fleet): void => {
      for (const node of fleet.nodes) {
        const is = new Map([...node.memberships].map(([id, { state, assigned }]) => [id, { state, assigned }]));
        const rules = [...node.expected].map(
          ([id, { standing, assigned }]) => [id, { state: standing, assigned }] as const,
        );
        expect(is).toEqual(new Map(rules));
        for (const [id, { state, reason }] of node.memberships) {
          const alone = fleet.subclouds.find((subcloud) => subcloud.id === id)?.spec.isolation === 'exclusive';
          seen.add(`${state}: ${reason}`).add(`${state}: ${reason}${alone ? ' alone' : ''}`);
        }
      }
    };
    // Random fleets that never got anywhere would prove nothing.
    const reached = [
      'active: joined',
      'active: eligible again',
      'requested: nodes.location',
      'suspended: cooldown',
      'draining: consent',
      'draining: removed by owner',
      'left: request expired',
      'removed: removed by owner',
      'suspended: nodes.location',
      'suspended: models.allow',
      'suspended: not invited',
      'suspended: leaving others',
      'active: joined alone',
      'draining: isolation',
      'left: isolation',
      'requested: isolation',
      'requested: leaving others',
      'invited: consent',
      'left: consent',
      'left: offline',
      'left: suspended too long',
      'left: invitation expired',
      'removed: subcloud deleted',
    ];
    expect(
      await untilSeen(
        () => always(check),
        () => unseen(reached, seen),
      ),
    ).toEqual([]);
  });

  it('a pass over everything finds nothing to do: what was touched was enough, and once was enough', () => {
    always((fleet) => {
      for (const node of fleet.nodes) expect(fleet.reconcile(node).changes).toEqual([]);
    });
  });

  it('the order in which Subclouds come makes no difference', () => {
    fc.assert(
      fc.property(startingFleet, events, fc.nat(), (start, happening, seed) => {
        const fleet = createFleet(start);
        for (const event of happening) {
          for (const node of fleet.nodes) {
            const result = fleet.reconcile(node, (all) =>
              all.toSorted((a, b) => order(a.id, seed) - order(b.id, seed)),
            );
            expect(result).toEqual(fleet.reconcile(node));
          }
          fleet.apply(event);
        }
      }),
      RUNS,
    );
  });

  it('nothing changes by time alone before the time that was named', () => {
    // Also the least that time can move: whatever hangs on two things being of one moment comes apart then.
    const parts = fc.oneof(fc.constant(Number.MIN_VALUE), fc.double({ min: 0, max: 1, noNaN: true }));
    fc.assert(
      fc.property(startingFleet, events, parts, (start, happening, part) => {
        const fleet = createFleet(start);
        for (const event of happening) fleet.apply(event);
        const dues = fleet.nodes.flatMap(({ dueMs }) => (dueMs === null ? [] : [dueMs]));
        const next = Math.min(...dues, fleet.nowMs + 40 * 86_400_000);
        fc.pre(next - 1 > fleet.nowMs);
        fleet.apply({ type: 'time', byMs: Math.ceil((next - 1 - fleet.nowMs) * part), heartbeats: false });
        for (const node of fleet.nodes) expect(fleet.reconcile(node).changes).toEqual([]);
      }),
      RUNS,
    );
  });

  it('nobody is active without being eligible and without the yes of operator and owner, at this moment', () => {
    always((fleet) => {
      for (const node of fleet.nodes) {
        for (const subcloud of fleet.subclouds) {
          const membership = node.memberships.get(subcloud.id);
          if (membership?.state !== 'active') continue;
          expect(eligibility(subcloud.spec, node.facts, fleet.nowMs, subcloud.owner).eligible).toBe(true);
          expect(saysYes(node, subcloud, membership.assigned)).toBe(true);
          expect(ownerSaysYes(subcloud, membership.assigned)).toBe(true);
        }
        if (node.memberships.get('global')?.state !== 'active') continue;
        expect(node.consent.global).toBe(true);
      }
    });
  });

  it('a node that an isolating Subcloud holds has no row in the global network, also while suspended there', () => {
    let suspended = 0;
    always((fleet) => {
      for (const node of fleet.nodes) {
        const holders = fleet.subclouds.filter(({ id, spec }) => {
          const membership = node.memberships.get(id);
          return spec.isolation === 'isolate' && membership !== undefined && holds(membership);
        });
        if (holders.length > 0) expect(isInGlobal(node.memberships)).toBe(false);
        if (holders.some(({ id }) => node.memberships.get(id)?.state === 'suspended')) suspended += 1;
      }
    });
    expect(suspended).toBeGreaterThan(RUNS.numRuns / 20);
  });

  it('a node that is active in an exclusive Subcloud is in no other pool at all, nothing in flight included', () => {
    let alone = 0;
    let suspended = 0;
    always((fleet) => {
      for (const node of fleet.nodes) {
        const holders = fleet.subclouds.filter(({ id }) => {
          const membership = node.memberships.get(id);
          return membership !== undefined && holds(membership);
        });
        const exclusive = holders.filter(({ spec }) => spec.isolation === 'exclusive');
        for (const { id } of exclusive) {
          const state = node.memberships.get(id)?.state;
          if (state === 'active') {
            alone += 1;
            expect(holders).toHaveLength(1);
            expect(node.memberships.has('global')).toBe(false);
          } else if (exclusive.every((subcloud) => operatorNames(node, subcloud))) {
            suspended += 1;
            const isServing = [...node.memberships.values()].some((membership) => membership.state === 'active');
            expect(isServing).toBe(false);
          }
        }
      }
    });
    expect(alone).toBeGreaterThan(RUNS.numRuns / 20);
    expect(suspended).toBeGreaterThan(RUNS.numRuns / 400);
  });

  it('nobody is displaced for an exclusive Subcloud that the operator has not named', () => {
    let displaced = 0;
    const before = new Map<string, string>();
    always((fleet, event) => {
      if (event === undefined) before.clear();
      for (const node of fleet.nodes) {
        for (const [id, { state, reason }] of node.memberships) {
          const pair = `${node.facts.nodeId} ${id}`;
          // Who began to leave finishes that, whatever is said meanwhile; so only the moment of it is judged.
          const begins = state === 'draining' && reason === 'isolation' && before.get(pair) !== 'draining';
          before.set(pair, state);
          if (!begins) continue;
          displaced += 1;
          const named = fleet.subclouds.filter(
            (subcloud) => subcloud.spec.isolation === 'exclusive' && operatorNames(node, subcloud),
          );
          // One that the operator owns itself takes its node out of the global network by assigning it.
          const own = id === 'global' && fleet.subclouds.some(({ owner }) => owner === node.facts.operator);
          expect(named.length > 0 || own).toBe(true);
        }
      }
    });
    expect(displaced).toBeGreaterThan(RUNS.numRuns / 400);
  });

  it('a node comes back to the global network only when what held it has ended or isolates no more', () => {
    let returned = 0;
    const before = new Map<string, ReadonlySet<string>>();
    always((fleet, event) => {
      if (event === undefined) before.clear();
      for (const node of fleet.nodes) {
        const held = before.get(node.facts.nodeId) ?? new Set();
        if (held.size > 0 && isInGlobal(node.memberships)) {
          returned += 1;
          for (const id of held) {
            const isolates = fleet.subclouds.find((subcloud) => subcloud.id === id)?.spec.isolation === 'isolate';
            const membership = node.memberships.get(id);
            expect(isolates && membership !== undefined && holds(membership)).toBe(false);
          }
        }
        const holders = fleet.subclouds.filter(({ id, spec }) => {
          const membership = node.memberships.get(id);
          return spec.isolation === 'isolate' && membership !== undefined && holds(membership);
        });
        before.set(node.facts.nodeId, new Set(holders.map(({ id }) => id)));
      }
    });
    expect(returned).toBeGreaterThan(RUNS.numRuns / 400);
  });

  it('a node that was removed stays out until the owner invites it', () => {
    const removed = new Set<string>();
    always((fleet, event) => {
      if (event === undefined) removed.clear();
      for (const { facts, memberships } of fleet.nodes) {
        for (const [id, { state }] of memberships) {
          const pair = `${facts.nodeId} ${id}`;
          if (event?.type === 'invite' && state !== 'removed') removed.delete(pair);
          if (removed.has(pair)) expect(state).toBe('removed');
          if (state === 'removed') removed.add(pair);
        }
      }
    });
  });
});

describe('consent', () => {
  const node = fc.record({ claims, consent, operator: principal });
  const isolating = fc.record({ owner: principal, autoJoin: fc.boolean() });

  it('of an operator is never taken for more isolation than it allows, by a Subcloud that asks nothing else', () => {
    let taken = 0;
    let spared = 0;
    fc.assert(
      fc.property(fc.array(node, { minLength: 1, maxLength: 6 }), isolating, (nodes, { owner, autoJoin }) => {
        const subcloud = {
          id: 'sub_0',
          name: 'alpha',
          owner,
          spec: {
            models: {},
            nodes: {},
            participation: { mode: 'open' as const, autoJoin, cooldown: '0s' },
            isolation: 'isolate' as const,
          },
        };
        const fleet = createFleet({
          nodes: nodes.map((drawn) => ({
            facts: { nodeId: '', operator: drawn.operator, claims: drawn.claims, lastSeenAt: null },
            consent: drawn.consent,
            lastSeen: null,
          })),
          subclouds: [subcloud],
        });
        for (const member of fleet.nodes) {
          const allowed = operatorNames(member, subcloud) || (autoJoin && operatorLetsAutoJoin(member, subcloud));
          const has = member.memberships.has('sub_0');
          if (!allowed) expect(has).toBe(false);
          if (member.consent.isolation === 'shared' && !member.consent.join.some((entry) => typeof entry === 'object'))
            expect(has).toBe(false);
          if (has) taken += 1;
          else spared += 1;
        }
      }),
      RUNS,
    );
    expect(taken).toBeGreaterThan(100);
    expect(spared).toBeGreaterThan(100);
  });

  it('to be shared does not go along when the owner raises isolation in a later revision', () => {
    let lost = 0;
    let kept = 0;
    fc.assert(
      fc.property(node, principal, (drawn, owner) => {
        const serving = [fresh('models', [SMALL], 'declared', null)];
        const spec = {
          models: {},
          nodes: {},
          participation: { mode: 'open' as const, autoJoin: true, cooldown: '0s' },
          isolation: 'shared' as const,
        };
        const fleet = createFleet({
          nodes: [
            {
              facts: { nodeId: '', operator: drawn.operator, claims: serving, lastSeenAt: null },
              consent: drawn.consent,
              lastSeen: null,
            },
          ],
          subclouds: [{ id: 'sub_0', name: 'alpha', owner, spec }],
        });
        const state = (): string | undefined => fleet.nodes[0]?.memberships.get('sub_0')?.state;
        fc.pre(state() === 'active');
        fleet.apply({ type: 'revise', subcloud: 0, spec: { ...spec, isolation: 'isolate' } });
        const [subcloud, member] = [fleet.subclouds[0], fleet.nodes[0]];
        if (subcloud === undefined || member === undefined) throw new Error('the fleet is gone');
        const covered = operatorNames(member, subcloud) || operatorLetsAutoJoin(member, subcloud);
        expect(state()).toBe(covered ? 'active' : 'left');
        expect(member.memberships.get('global')?.state).toBe(
          covered ? undefined : member.consent.global ? 'active' : undefined,
        );
        if (covered) kept += 1;
        else lost += 1;
      }),
      RUNS,
    );
    expect(lost).toBeGreaterThan(100);
    expect(kept).toBeGreaterThan(100);
  });

  it('is asked again at every pass: what an operator takes back ends at once, in every state', () => {
    always((fleet, event) => {
      if (event?.type !== 'consent') return;
      for (const member of fleet.nodes) {
        for (const subcloud of fleet.subclouds) {
          const membership = member.memberships.get(subcloud.id);
          if (membership === undefined) continue;
          if (membership.state !== 'active' && membership.state !== 'suspended') continue;
          expect(saysYes(member, subcloud, membership.assigned)).toBe(true);
        }
      }
    });
  });
});

it('the fleets begin at the time that claims are drawn around', () => {
  expect(createFleet({ nodes: [], subclouds: [] }).nowMs).toBe(NOW);
});

/** Who only finishes its answers there is on its way out. */
function isInGlobal(memberships: ReadonlyMap<string, { readonly state: string }>): boolean {
  const global = memberships.get('global');
  return global !== undefined && global.state !== 'draining';
}

/** A number that shuffles ids by the seed, the same for the same seed. */
function order(id: string, seed: number): number {
  let hash = seed | 0;
  for (const character of id) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return hash;
}

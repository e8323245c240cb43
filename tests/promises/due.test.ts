/** Time is an event like any other: whatever is decided in between, of whichever Subclouds, nothing that ends by time alone is missed. */
import { createPublishedTable } from '@subcloud/control/compile/published-table';
import { dueCheck } from '@subcloud/control/membership/due';
import { type Scope, createPass } from '@subcloud/control/pass';
import { createLeases } from '@subcloud/control/watch/leases';
import { subcloudRecord } from '@subcloud/control/world/subcloud-record';
import type { Claim } from '@subcloud/policy/facts';
import { subcloudManifest } from '@subcloud/policy/manifest';
import { virtualClock } from '@subcloud/testkit/virtual-clock';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bare, fresh } from './arbitraries-claims.ts';
import { runs } from './arbitraries.ts';
import { SimulatedAgent } from './simulation/agent.ts';
import { unsignedAuthority } from './simulation/control.ts';
import { firstWorld, openNoDatabase } from './simulation/memory-world.ts';

const SPECS = [
  { nodes: { labels: { tier: 'gold' } } },
  { nodes: { location: { in: ['EU'], source: 'measured' }, maxAge: '10m' } },
  { models: { allow: [{ id: 'lab/small' }] } },
];
const IDS = SPECS.map((_spec, index) => `sub_${index}`);

/** One node, linked, that nothing happens to but time. */
function createStill(claims: (nowMs: number) => Claim[]) {
  const clock = virtualClock();
  const agent = new SimulatedAgent({
    index: 0,
    operator: 'org:birch',
    clock,
    address: '10.0.0.1',
    settings: { models: [], labels: {}, consent: { global: true, autoJoin: 'all', isolation: 'shared', join: [] } },
  });
  const world = firstWorld([agent], clock.nowMs());
  for (const [index, spec] of SPECS.entries()) {
    const manifest = subcloudManifest.parse({
      apiVersion: 'subcloud/v1',
      kind: 'Subcloud',
      metadata: { name: `pool-${index}` },
      spec: { ...spec, participation: { mode: 'open', autoJoin: true, cooldown: '0s' }, isolation: 'shared' },
    });
    const at = { owner: 'org:acme' as const, revision: 1, createdAtMs: 0, updatedAtMs: 0 };
    world.subclouds.set(`sub_${index}`, subcloudRecord({ id: `sub_${index}`, ...at, manifest, source: '' }));
  }
  const node = [...world.nodes.values()][0];
  if (node === undefined) throw new Error('there is a node');
  node.consent = agent.settings.consent;
  node.claims = claims(clock.nowMs());
  world.links.set(node.id, [{ gateway: 'gw_a', address: '10.0.0.1' }]);
  const pass = createPass({
    db: openNoDatabase(),
    world,
    table: createPublishedTable(1),
    leases: createLeases(clock, new Map(), 1),
    authority: unsignedAuthority(clock),
    clock,
    reserveVersions: () => Promise.resolve(),
    gatewayUrls: () => [],
    startedAtMs: clock.nowMs(),
  });
  const decide = (scope: Scope): Promise<void> => pass.run(new Map([[node.id, scope]]));
  return {
    advance: (ms: number) => clock.advance(ms),
    decide,
    /** As control does every so often. */
    async look() {
      if (dueCheck(world, clock.nowMs()).isDue(node)) await decide('all');
    },
    states: () => [...node.memberships].map(([id, { state }]) => `${id} ${state}`).sort(),
  };
}

it('a node of which something else is decided at the moment in which a fact ends is decided whole', async () => {
  let ended = 0;
  const steps = fc.array(
    fc.record({
      afterMs: fc.constantFrom(1, 1_000, 60_000, 600_000),
      scopes: fc.array(fc.subarray(IDS), { minLength: 1, maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 8 },
  );
  const endsAfterMs = fc.constantFrom(1, 1_000, 60_000, 60_001, 600_000, 1_200_000);
  await fc.assert(
    fc.asyncProperty(endsAfterMs, endsAfterMs, steps, async (labelsMs, modelsMs, happening) => {
      const claims = (nowMs: number): Claim[] => [
        fresh('labels', { tier: 'gold' }, 'declared', nowMs + labelsMs),
        fresh('location', { candidates: [{ country: 'FR' }], evidence: 'map' }, 'measured', null),
        fresh('models', [bare('lab/small')], 'declared', nowMs + modelsMs),
      ];
      const [some, whole] = [createStill(claims), createStill(claims)];
      for (const still of [some, whole]) await still.decide('all');
      expect(some.states()).toHaveLength(IDS.length + 1);
      for (const { afterMs, scopes } of happening) {
        some.advance(afterMs);
        whole.advance(afterMs);
        for (const scope of scopes) await some.decide(new Set(scope));
        await some.look();
        await whole.decide('all');
        expect(some.states()).toEqual(whole.states());
      }
      if (whole.states().some((state) => state.endsWith('suspended'))) ended += 1;
    }),
    runs(300),
  );
  // Where nothing ended, nothing was shown.
  expect(ended).toBeGreaterThan(100);
});

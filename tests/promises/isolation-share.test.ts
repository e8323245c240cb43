/** The share of nodes that auto-join may isolate: never exceeded, the same in full as by what was touched, in any order. */
import { createPublishedTable } from '@subcloud/control/compile/published-table';
import { type Pass, createPass } from '@subcloud/control/pass';
import { createLeases } from '@subcloud/control/watch/leases';
import { networkRecord, subcloudRecord } from '@subcloud/control/world/subcloud-record';
import { GLOBAL_ID, type World } from '@subcloud/control/world/world';
import type { Consent } from '@subcloud/policy/consent';
import { networkManifest, subcloudManifest } from '@subcloud/policy/manifest';
import { virtualClock } from '@subcloud/testkit/virtual-clock';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fresh, runs } from './arbitraries.ts';
import { SimulatedAgent } from './simulation/agent.ts';
import { unsignedAuthority } from './simulation/control.ts';
import { firstWorld, openNoDatabase } from './simulation/memory-world.ts';

const NODES = 7;
const SMALL = { id: 'lab/small', digest: null, quantization: null, modalities: null, contextLength: null };

type Event =
  | { readonly type: 'consent'; readonly node: number; readonly consent: Consent }
  | { readonly type: 'models'; readonly node: number; readonly serves: boolean }
  | { readonly type: 'remove'; readonly node: number }
  | { readonly type: 'share'; readonly percent: number }
  | { readonly type: 'isolation'; readonly subcloud: number; readonly isolation: 'shared' | 'isolate' }
  /** Both in one pass. */
  | { readonly type: 'both'; readonly first: Event; readonly second: Event };

const consent: fc.Arbitrary<Consent> = fc.record({
  global: fc.boolean(),
  autoJoin: fc.constantFrom('all' as const, 'all' as const, 'all' as const, 'none' as const),
  isolation: fc.constantFrom('isolate' as const, 'isolate' as const, 'shared' as const),
  join: fc.constantFrom([], [], [], ['alpha']),
});
const node = fc.nat({ max: NODES - 1 });
const single: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant('consent' as const), node, consent }) },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('models' as const), node, serves: fc.constantFrom(true, true, false) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('remove' as const), node }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('share' as const), percent: fc.constantFrom(0, 20, 50, 100) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('isolation' as const),
      subcloud: fc.nat({ max: 1 }),
      isolation: fc.constantFrom('shared' as const, 'isolate' as const),
    }),
  },
);
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 3, arbitrary: single },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('both' as const), first: single, second: single }) },
);

function subcloud(index: number, isolation: 'shared' | 'isolate') {
  const manifest = subcloudManifest.parse({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: index === 0 ? 'alpha' : 'beta' },
    spec: { participation: { mode: 'open', autoJoin: true, cooldown: '0s' }, isolation },
  });
  const owner = 'org:acme' as const;
  return subcloudRecord({
    id: `sub_${index}`,
    owner,
    revision: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    manifest,
    source: '',
  });
}

class ShareFleet {
  readonly world: World;
  readonly #pass: Pass;

  constructor() {
    const clock = virtualClock();
    const agents = Array.from(
      { length: NODES },
      (_, index) =>
        new SimulatedAgent({
          index,
          // The last one is the owner's own.
          operator: index === NODES - 1 ? 'org:acme' : 'org:birch',
          clock,
          address: '',
          settings: {
            models: [],
            labels: {},
            consent: { global: true, autoJoin: 'all', isolation: 'isolate', join: [] },
          },
        }),
    );
    this.world = firstWorld(agents, clock.nowMs());
    for (const index of [0, 1]) this.world.subclouds.set(`sub_${index}`, subcloud(index, 'isolate'));
    for (const record of this.world.nodes.values()) record.consent = agents[0]?.settings.consent ?? null;
    this.#pass = createPass({
      db: openNoDatabase(),
      world: this.world,
      table: createPublishedTable(1),
      leases: createLeases(clock, new Map(), 1),
      authority: unsignedAuthority(clock),
      clock,
      reserveVersions: () => Promise.resolve(),
      gatewayUrls: () => [],
      startedAtMs: clock.nowMs(),
    });
  }

  /** Does it to the world; returns the nodes that control would touch. */
  happen(happening: Event): readonly string[] {
    const all = [...this.world.nodes.keys()];
    if (happening.type === 'both') return [...this.happen(happening.first), ...this.happen(happening.second)];
    if (happening.type === 'share') {
      const maxShare = `${happening.percent}%`;
      const manifest = networkManifest.parse({
        apiVersion: 'subcloud/v1',
        kind: 'Network',
        spec: { isolation: { maxShare } },
      });
      this.world.subclouds.set(
        GLOBAL_ID,
        networkRecord({ revision: 2, createdAtMs: 0, updatedAtMs: 0, manifest, source: '' }),
      );
      return all;
    }
    if (happening.type === 'isolation') {
      this.world.subclouds.set(`sub_${happening.subcloud}`, subcloud(happening.subcloud, happening.isolation));
      return all;
    }
    const id = `nod_${happening.node}`;
    const record = this.world.nodes.get(id);
    if (record === undefined) return [];
    record.facts = undefined;
    if (happening.type === 'remove') this.world.nodes.delete(id);
    else if (happening.type === 'consent') record.consent = happening.consent;
    else record.claims = happening.serves ? [fresh('models', [SMALL], 'declared', null)] : [];
    return [id];
  }

  async run(nodes: readonly string[]): Promise<void> {
    await this.#pass.run(new Map(nodes.map((id) => [id, 'all'])));
  }

  memberships(): readonly string[] {
    return [...this.world.nodes.values()]
      .flatMap(({ id, memberships }) => [...memberships].map(([pool, { state }]) => `${id} ${pool} ${state}`))
      .sort();
  }

  /** By the words of the manifest: held by auto-join, by a Subcloud that isolates. What was never agreed to is not held. */
  counted(): readonly string[] {
    const held = [...this.world.nodes.values()].filter(({ operator, consent: word, memberships }) =>
      ['sub_0', 'sub_1'].some((id) => {
        const record = this.world.subclouds.get(id);
        const membership = memberships.get(id);
        if (record?.isolation !== 'isolate' || membership === undefined || membership.activeSinceMs === null)
          return false;
        if (!['active', 'suspended', 'draining'].includes(membership.state)) return false;
        if (membership.reason === 'isolation not agreed') return false;
        const named = word?.join.includes(record.name) === true && word.isolation === 'isolate';
        return operator !== 'org:acme' && !named;
      }),
    );
    return held.map(({ id }) => id).sort();
  }

  limit(): number {
    const text = this.world.subclouds.get(GLOBAL_ID)?.network?.spec.isolation.maxShare ?? '50%';
    return Math.floor((this.world.nodes.size * Number(text.replace('%', ''))) / 100);
  }
}

it('holds after any events, a pass over everything finds nothing to do, and the order of the nodes makes no difference', async () => {
  let full = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 25 }), async (events) => {
      const [fleet, mirror] = [new ShareFleet(), new ShareFleet()];
      let before: readonly string[] = [];
      for (const happening of events) {
        const touched = fleet.happen(happening);
        mirror.happen(happening);
        await fleet.run(touched);
        await mirror.run([...mirror.world.nodes.keys(), ...touched].reverse());
        const [stands, counted] = [fleet.memberships(), fleet.counted()];
        expect(mirror.memberships()).toEqual(stands);
        expect([...fleet.world.isolationShare.counts].sort()).toEqual(counted);
        const joined = counted.filter((id) => !before.includes(id));
        // Who stays may be more than a share that has shrunk, or be counted since the operator took a name back.
        if (happening.type === 'models' && joined.length > 0) expect(counted.length).toBeLessThanOrEqual(fleet.limit());
        if (fleet.world.isolationShare.wants.size > 0) {
          full += 1;
          expect(counted.length).toBeGreaterThanOrEqual(fleet.limit());
        }
        before = counted;
        await fleet.run([...fleet.world.nodes.keys()]);
        expect(fleet.memberships()).toEqual(stands);
      }
    }),
    runs(400),
  );
  expect(full).toBeGreaterThan(100);
});

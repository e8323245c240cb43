import { BUILT_IN_PLACES } from '@subcloud/policy/place-registry';
import type { Consent } from '@subcloud/policy/consent';
import type { Claim } from '@subcloud/policy/facts';
import { type SubcloudManifest, networkManifest, subcloudManifest } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Membership, reconcileNode } from '../membership/reconcile.ts';
import { globalRecord, subcloudRecord } from '../world/subcloud-record.ts';
import type { NodeRecord, SubcloudRecord } from '../world/world.ts';
import { type PlanNode, type PlanWorld, plan, withChange } from './plan.ts';

const NOW = 1_780_000_000_000;
const OWNERS = ['org:a', 'org:b'] as const;
const NAMES = ['alpha', 'beta', 'gamma'] as const;
const MODELS = ['m/one', 'm/two', 'm/three'];

interface Drawn {
  readonly tier: string;
  readonly country: string;
  readonly models: readonly string[];
  readonly operator: PrincipalId;
  readonly concurrency: number | null;
  readonly consent: Consent;
  /** Subclouds (by position) that have invited it. */
  readonly invitedBy: readonly number[];
  readonly offlineForMs: number | null;
}

const node: fc.Arbitrary<Drawn> = fc.record({
  tier: fc.constantFrom('gold', 'silver'),
  country: fc.constantFrom('DE', 'US', 'HU'),
  models: fc.subarray(MODELS, { minLength: 1 }),
  operator: fc.constantFrom('org:a', 'org:b', 'user:c'),
  concurrency: fc.constantFrom(null, 4, 8),
  consent: fc.record({
    global: fc.boolean(),
    autoJoin: fc.constantFrom('all' as const, 'none' as const, { owners: ['org:a' as const] }),
    isolation: fc.constantFrom('shared' as const, 'isolate' as const, 'exclusive' as const),
    join: fc.subarray([...NAMES]),
  }),
  invitedBy: fc.subarray([0, 1, 2]),
  offlineForMs: fc.constantFrom(null, null, null, 60_000, 8 * 86_400_000),
});

function manifestOf(name: string, owner: PrincipalId): fc.Arbitrary<SubcloudManifest> {
  const allow = fc.subarray(MODELS, { minLength: 1 }).map((ids) => ids.map((id) => ({ id })));
  return fc
    .record({
      models: fc.oneof(
        fc.constant({}),
        allow.map((allowed) => ({ allow: allowed })),
        allow.map((allowed) => ({ allow: allowed, private: true })),
      ),
      nodes: fc.oneof(
        fc.constant({}),
        fc.constant({ labels: { tier: 'gold' } }),
        fc.constant({ location: { in: ['EU'], notIn: ['HU'] } }),
        fc.constant({ location: { in: ['US'] }, labels: { tier: 'silver' } }),
      ),
      participation: fc.constantFrom(
        { mode: 'open', autoJoin: true, cooldown: '0s' },
        { mode: 'open', autoJoin: true, cooldown: '10m' },
        { mode: 'open' },
        { mode: 'private' },
      ),
      isolation: fc.constantFrom('shared', 'isolate'),
    })
    .map((spec) =>
      subcloudManifest.parse({ apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name, owner }, spec }),
    );
}

const ownerOf = (index: number): PrincipalId => OWNERS[index % 2] ?? 'org:a';
const manifests = fc.tuple(...NAMES.map((name, index) => manifestOf(name, ownerOf(index))));
const change = fc.constantFrom(0, 1, 2).chain((index) =>
  fc.record({
    index: fc.constant(index),
    /** Undefined: deleted. `create`: it was not there before. */
    after: fc.option(manifestOf(NAMES[index] ?? 'alpha', ownerOf(index)), { nil: undefined }),
    create: fc.boolean(),
  }),
);

function recordOf(index: number, manifest: SubcloudManifest, revision: number): SubcloudRecord {
  const stored = { owner: ownerOf(index), createdAtMs: 1, updatedAtMs: 1, source: '', manifest, revision };
  return subcloudRecord({ ...stored, id: `scl_${index}` }, BUILT_IN_PLACES);
}

function recordsOf(drawn: readonly SubcloudManifest[], without: number | undefined): Map<string, SubcloudRecord> {
  // As many as permit it may be isolated: how many are let in is for the test of the share.
  const spec = { isolation: { maxShare: '100%' } };
  const network = networkManifest.parse({ apiVersion: 'subcloud/v1', kind: 'Network', spec });
  const global = { ...globalRecord(1), network };
  const records = drawn.flatMap((manifest, index) => (index === without ? [] : [recordOf(index, manifest, 1)]));
  return new Map([global, ...records].map((record) => [record.id, record]));
}

/** A node as it stands after a pass: its memberships are what the reconciler makes of the Subclouds. */
function settled(drawn: Drawn, index: number, subclouds: ReadonlyMap<string, SubcloudRecord>): PlanNode {
  const id = `nod_${index}`;
  const claim = { issuedAt: NOW, confirmedAt: NOW, expiresAt: null, issuerOwner: null };
  const models = drawn.models.map((model) => ({
    id: model,
    digest: null,
    quantization: null,
    modalities: null,
    contextLength: null,
  }));
  const location = { candidates: [{ country: drawn.country }], evidence: 'test' };
  const claims = [
    { ...claim, id: 'a', fact: 'labels', value: { tier: drawn.tier }, source: 'declared', issuer: `node:${id}` },
    { ...claim, id: 'b', fact: 'models', value: models, source: 'declared', issuer: `node:${id}` },
    { ...claim, id: 'c', fact: 'location', value: location, source: 'measured', issuer: 'network' },
  ] as Claim[];
  const lastSeenAt = drawn.offlineForMs === null ? null : NOW - drawn.offlineForMs;
  const state = {
    id,
    operator: drawn.operator,
    consent: drawn.consent,
    facts: { nodeId: id, operator: drawn.operator, claims, lastSeenAt },
  };
  const invited: Membership = {
    state: 'invited',
    reason: 'consent',
    sinceMs: NOW - 1_000,
    activeSinceMs: null,
    assigned: true,
    cooldownFromMs: null,
    drainsTo: null,
  };
  const stored = drawn.invitedBy
    .filter((at) => subclouds.has(`scl_${at}`))
    .map((at) => [`scl_${at}`, invited] as const);
  const input = { node: state, subclouds: subclouds.values(), nowMs: NOW - 500, absenceCounts: true };
  const { memberships } = reconcileNode({ ...input, memberships: new Map(stored) });
  const standing = reconcileNode({ ...input, subclouds: subclouds.values(), nowMs: NOW, memberships });
  const admitted = [...standing.memberships].flatMap(([subcloudId, membership]) => {
    const decision = standing.verdicts.get(subcloudId)?.decision;
    return membership.state === 'active' && decision !== undefined
      ? [[subcloudId, { models: decision.models, validUntil: null }] as const]
      : [];
  });
  const record = {
    id,
    name: id,
    operator: drawn.operator,
    concurrency: drawn.concurrency,
    admitted: new Map(admitted),
  };
  return { state, record: { ...record, memberships: standing.memberships } as unknown as NodeRecord };
}

test('a plan says what the reconciler then does, for every membership of every Subcloud', () => {
  fc.assert(
    fc.property(
      fc.array(node, { minLength: 1, maxLength: 8 }),
      manifests,
      change,
      (fleet, drawn, { index, after, create }) => {
        const subclouds = recordsOf(drawn, create ? index : undefined);
        const nodes = fleet.map((each, at) => settled(each, at, subclouds));
        const before = subclouds.get(`scl_${index}`) ?? null;
        const next = after === undefined ? null : recordOf(index, after, 2);
        if (before === null && next === null) return;
        const world: PlanWorld = { nodes, subclouds, absenceCounts: true };
        const planned = plan(world, { before, after: next }, NOW);

        const hypothetical = withChange(subclouds, `scl_${index}`, next);
        const expected = new Map<string, string>();
        const capacity = { members: 0, concurrency: 0, undeclared: 0 };
        const lost = { of: 0, are: 0 };
        for (const { record, state } of nodes) {
          const done = reconcileNode({
            node: state,
            memberships: record.memberships,
            subclouds: hypothetical.values(),
            nowMs: NOW,
            absenceCounts: true,
          });
          for (const [id, membership] of done.memberships) {
            const was = record.memberships.get(id);
            if (was?.state !== membership.state || was.reason !== membership.reason)
              expected.set(`${record.id} ${id}`, `${was?.state ?? '-'} ${membership.state} ${membership.reason}`);
          }
          for (const [id, was] of record.memberships)
            if (!done.memberships.has(id)) expected.set(`${record.id} ${id}`, `${was.state} -`);
          const [was, is] = [
            record.memberships.get(`scl_${index}`)?.state,
            done.memberships.get(`scl_${index}`)?.state,
          ];
          if (was === 'active') lost.of += 1;
          if (was === 'active' && is !== 'active') lost.are += 1;
          if (is !== 'active') continue;
          capacity.members += 1;
          if (record.concurrency === null) capacity.undeclared += 1;
          else capacity.concurrency += record.concurrency;
        }
        const told = planned.moves.map(({ node: { id }, subcloudId, from, to }) => [
          `${id} ${subcloudId}`,
          to === null ? `${from?.state ?? '-'} -` : `${from?.state ?? '-'} ${to.state} ${to.reason}`,
        ]);
        expect(Object.fromEntries(told)).toEqual(Object.fromEntries(expected));
        expect(planned.pools.get(`scl_${index}`)?.capacity.after).toEqual(capacity);
        expect({ of: planned.activeBefore, are: planned.activeLost }).toEqual(lost);
      },
    ),
    { numRuns: 300 },
  );
});

test('a node that the change cannot concern is not decided again for other Subclouds', () => {
  const [alpha] = fc.sample(manifestOf('alpha', 'org:a'), 1);
  if (alpha === undefined) throw new Error('no manifest');
  const tiers = (tier: string): SubcloudManifest => ({
    ...alpha,
    spec: { ...alpha.spec, models: { dedicated: false, private: false }, nodes: { labels: { tier }, maxAge: '10m' } },
  });
  const before = recordOf(0, tiers('gold'), 1);
  const after = recordOf(0, tiers('platinum'), 2);
  let decided = 0;
  const watched: SubcloudRecord = { ...globalRecord(1) };
  const subclouds = new Map([
    [watched.id, watched],
    [before.id, before],
  ]);
  Object.defineProperty(watched, 'policy', { get: () => ((decided += 1), globalRecord(1).policy) });
  const drawn = fc.sample(node, { numRuns: 20, seed: 1 }).map((each) => ({ ...each, tier: 'silver' }));
  const nodes = drawn.map((each, at) => settled(each, at, subclouds));
  decided = 0;
  const planned = plan({ nodes, subclouds, absenceCounts: true }, { before, after }, NOW);
  expect(planned.moves).toEqual([]);
  expect(decided).toBe(0);
});

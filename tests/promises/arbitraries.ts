/**
 * Random fleets, manifests and events. The world is small on purpose, so that its parts meet: few operators who are also
 * owners, few models, places on the map of oracle-places.ts, times close to the edges of what expires.
 */
import { ISOLATIONS, type Consent } from '@subcloud/policy/consent';
import type { Claim, ClaimSource, NodeFacts, Place } from '@subcloud/policy/facts';
import type { PrincipalId } from '@subcloud/policy/principal';
import fc from 'fast-check';
import { COUNTRIES, PLACE_NAMES, SUBDIVISIONS } from './oracle-places.ts';
import type { OracleNode, OracleSubcloud } from './oracle.ts';

/** So many runs of a property; SUBCLOUD_PROPERTY_FACTOR multiplies them all. */
export function runs(numRuns: number): { readonly numRuns: number } {
  return { numRuns: numRuns * Number(process.env['SUBCLOUD_PROPERTY_FACTOR'] ?? 1) };
}

export const NOW = 1_800_000_000_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export const PRINCIPALS: readonly PrincipalId[] = ['org:acme', 'org:birch', 'team:acme/ml', 'user:solo'];
export const MODELS = ['lab/small', 'lab/large', 'other/vision'];
export const NAMES = ['alpha', 'beta', 'gamma', 'delta'];
const LABELS = ['tier=gold', 'tier=silver', 'rack=7'];

export const principal = fc.constantFrom(...PRINCIPALS);
const models = fc.subarray(MODELS);
const labels = fc
  .subarray(LABELS)
  .map((pairs) => Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string])));

export const place: fc.Arbitrary<Place> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...COUNTRIES).map((country) => ({ country })) },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom(...SUBDIVISIONS)
      .map((subdivision) => ({ country: subdivision.slice(0, 2), subdivision })),
  },
  // What no database should say: places that do not exist, and two parts that contradict each other.
  {
    weight: 1,
    arbitrary: fc.constantFrom<Place>(
      { country: 'ZZ' },
      { country: '' },
      { country: 'de' },
      { country: 'EU' },
      { country: 'FR', subdivision: 'DE-BY' },
      { country: 'DE', subdivision: 'DE-ZZ' },
    ),
  },
);

const source = fc.constantFrom<ClaimSource>('declared', 'measured', 'attested');

/** Before, at and after the moment that is asked about, and close to the ten minutes of `maxAge`. */
const age = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 5 * MINUTE_MS }) },
  { weight: 2, arbitrary: fc.constantFrom(10 * MINUTE_MS - 1, 10 * MINUTE_MS, 10 * MINUTE_MS + 1) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 2 * DAY_MS }) },
);
const expiry = fc.oneof(
  { weight: 3, arbitrary: fc.constant(null) },
  { weight: 4, arbitrary: fc.integer({ min: 1, max: DAY_MS }).map((after) => NOW + after) },
  { weight: 2, arbitrary: fc.constantFrom(NOW - 1, NOW, NOW + 1) },
);

const value = {
  location: fc
    .oneof({ weight: 4, arbitrary: fc.tuple(place) }, { weight: 2, arbitrary: fc.array(place, { maxLength: 3 }) })
    .map((candidates) => ({ candidates, evidence: 'test' })),
  models,
  labels,
};

function claimOf<Fact extends keyof typeof value>(fact: Fact): fc.Arbitrary<Claim> {
  return fc
    .record({ source, issuer: fc.constantFrom('network', 'node:1', 'org:acme'), age, expiry, value: value[fact] })
    .map(
      (drawn) =>
        ({
          id: `clm_${fact}`,
          fact,
          value: drawn.value,
          source: drawn.source,
          issuer: drawn.issuer,
          issuedAt: NOW - drawn.age,
          confirmedAt: NOW - drawn.age,
          expiresAt: drawn.expiry,
        }) as unknown as Claim,
    );
}

/** What a healthy node has: fresh claims of all facts from where they usually come. */
const healthyClaims: fc.Arbitrary<readonly Claim[]> = fc
  .record({ at: place, models: fc.subarray(MODELS, { minLength: 1 }), labels })
  .map((drawn) => [
    fresh('location', { candidates: [drawn.at], evidence: 'test' }, 'measured', null),
    fresh('models', drawn.models, 'declared', NOW + DAY_MS),
    fresh('labels', drawn.labels, 'declared', NOW + DAY_MS),
  ]);

export function fresh<Fact extends Claim['fact']>(
  fact: Fact,
  is: Extract<Claim, { fact: Fact }>['value'] | object,
  from: ClaimSource,
  expiresAt: number | null,
): Claim {
  const id = `clm_${fact}_${from}`;
  return { id, fact, value: is, source: from, issuer: 'network', issuedAt: NOW, confirmedAt: NOW, expiresAt } as Claim;
}

/** Healthy, or anything at all: expired, stale, contradictory, too weak, missing. */
export const claims: fc.Arbitrary<readonly Claim[]> = fc.oneof(
  { weight: 3, arbitrary: healthyClaims },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        healthyClaims,
        fc.array(fc.oneof(claimOf('location'), claimOf('models'), claimOf('labels')), { maxLength: 3 }),
      )
      .map(([healthy, further]) => [...healthy, ...further]),
  },
  {
    weight: 2,
    arbitrary: fc.array(fc.oneof(claimOf('location'), claimOf('models'), claimOf('labels')), { maxLength: 6 }),
  },
);

export const lastSeen = fc.oneof(
  { weight: 5, arbitrary: fc.constant(null) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 20 * MINUTE_MS }).map((ago) => NOW - ago) },
  { weight: 1, arbitrary: fc.constantFrom(NOW - 7 * DAY_MS, NOW - 7 * DAY_MS + 1, NOW - 8 * DAY_MS, NOW + 5_000) },
);

export const facts: fc.Arbitrary<NodeFacts> = fc.record({
  nodeId: fc.constant('nod_1'),
  operator: principal,
  claims,
  lastSeenAt: lastSeen,
});

export const consent: fc.Arbitrary<Consent> = fc.record({
  global: fc.boolean(),
  autoJoin: fc.oneof(
    { weight: 3, arbitrary: fc.constant('all' as const) },
    { weight: 1, arbitrary: fc.constant('none' as const) },
    { weight: 2, arbitrary: fc.subarray([...PRINCIPALS]).map((owners) => ({ owners })) },
  ),
  isolation: fc.constantFrom(...ISOLATIONS),
  join: fc.array(
    fc.oneof(
      fc.constantFrom(...NAMES),
      fc.record({ name: fc.constantFrom(...NAMES), isolation: fc.constantFrom(...ISOLATIONS) }),
    ),
    { maxLength: 3 },
  ),
});

const places = fc.array(fc.oneof(fc.constantFrom(...PLACE_NAMES), fc.constantFrom('EU', 'EEA')), {
  minLength: 1,
  maxLength: 4,
});
const locationClause = fc
  .tuple(
    fc.option(places, { nil: undefined }),
    fc.option(places, { nil: undefined }),
    fc.constantFrom('declared', 'measured'),
  )
  .filter(([inList, notIn]) => inList !== undefined || notIn !== undefined)
  .map(([inList, notIn, from]) => ({
    ...(inList === undefined ? {} : { in: inList }),
    ...(notIn === undefined ? {} : { notIn }),
    source: from as 'declared' | 'measured',
  }));

const maybe = <Value>(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 2 });

/** Every clause in force, alone and in combination. */
export const spec: fc.Arbitrary<OracleSubcloud['spec']> = fc
  .record({
    allow: maybe(fc.subarray(MODELS, { minLength: 1 })),
    location: maybe(locationClause),
    operators: maybe(fc.subarray([...PRINCIPALS], { minLength: 1 })),
    labels: maybe(fc.constantFrom({ tier: 'gold' }, { tier: 'silver' }, { tier: 'gold', rack: '7' })),
    participation: fc.constantFrom(
      { mode: 'open' as const, autoJoin: true },
      { mode: 'open' as const, autoJoin: false },
      { mode: 'private' as const, autoJoin: false },
    ),
    isolation: fc.constantFrom('shared' as const, 'isolate' as const),
  })
  .map((drawn) => ({
    models: drawn.allow === undefined ? {} : { allow: drawn.allow.map((id) => ({ id })) },
    nodes: {
      ...(drawn.location === undefined ? {} : { location: drawn.location }),
      ...(drawn.operators === undefined ? {} : { operators: { in: drawn.operators } }),
      ...(drawn.labels === undefined ? {} : { labels: drawn.labels }),
    },
    participation: drawn.participation,
    isolation: drawn.isolation,
  }));

/** Without clauses about nodes, so that membership turns on consent, participation and isolation. */
export const easySpec: fc.Arbitrary<OracleSubcloud['spec']> = spec.map((drawn) => ({
  ...drawn,
  models: {},
  nodes: {},
}));

export const node: fc.Arbitrary<OracleNode> = fc.record({ facts, consent });

export const subclouds: fc.Arbitrary<readonly OracleSubcloud[]> = fc
  .array(fc.record({ owner: principal, spec: fc.oneof(spec, easySpec) }), { maxLength: NAMES.length })
  .map((drawn) => drawn.map((one, index) => ({ id: `sub_${index}`, name: NAMES[index] ?? '', ...one })));

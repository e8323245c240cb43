/**
 * Random fleets, manifests and events. The world is small on purpose, so that its parts meet: few operators who are also
 * owners, few models, places on the map of oracle-places.ts, times close to the edges of what expires.
 */
import { ISOLATIONS, type Consent } from '@subcloud/policy/consent';
import type { NodeFacts } from '@subcloud/policy/facts';
import fc from 'fast-check';
import { NOW, PRINCIPALS, claims } from './arbitraries-claims.ts';
import { spec } from './arbitraries-spec.ts';
import type { OracleNode, OracleSubcloud } from './oracle.ts';

/** So many runs of a property; SUBCLOUD_PROPERTY_FACTOR multiplies them all. */
export function runs(numRuns: number): { readonly numRuns: number } {
  return { numRuns: numRuns * Number(process.env['SUBCLOUD_PROPERTY_FACTOR'] ?? 1) };
}

export { NOW };
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

export { MODELS, PRINCIPALS, claims, fresh, place } from './arbitraries-claims.ts';
export { spec };
export const NAMES = ['alpha', 'beta', 'gamma', 'delta'];

export const principal = fc.constantFrom(...PRINCIPALS);

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

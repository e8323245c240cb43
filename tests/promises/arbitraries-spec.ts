/** Policies: every clause in force but `where`, alone and in combination, with and without a word about sources. */
import { CLAIM_SOURCES } from '@subcloud/policy/facts';
import type { ModelsClause, NodesClause } from '@subcloud/policy/manifest';
import fc from 'fast-check';
import { DIGESTS, ISSUERS, MODELS, PRINCIPALS } from './arbitraries-claims.ts';
import { PLACE_NAMES } from './oracle-places.ts';
import type { OracleSubcloud } from './oracle.ts';

type Defined<Value> = { [Key in keyof Value]: Exclude<Value[Key], undefined> };

/** Without the keys that were drawn as absent: JSON has no undefined. */
function present<Value extends object>(value: Value): Defined<Value> {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as Defined<Value>;
}

const maybe = <Value>(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 2 });
const rarely = <Value>(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

const provenance = {
  source: maybe(
    fc.oneof(
      fc.constantFrom(...CLAIM_SOURCES),
      fc.constantFrom(...CLAIM_SOURCES),
      fc.subarray([...CLAIM_SOURCES], { minLength: 1 }),
    ),
  ),
  by: rarely(fc.subarray(ISSUERS, { minLength: 1 })),
};

const placeList = fc.array(fc.oneof(fc.constantFrom(...PLACE_NAMES), fc.constantFrom('EU', 'EEA')), {
  minLength: 1,
  maxLength: 4,
});
const places = fc
  .record({ in: maybe(placeList), notIn: maybe(placeList), ...provenance })
  .filter((drawn) => drawn.in !== undefined || drawn.notIn !== undefined)
  .map(present);

function range(...bounds: readonly number[]): fc.Arbitrary<{ min?: number; max?: number }> {
  const bound = maybe(fc.constantFrom(...bounds));
  return fc
    .record({ min: bound, max: bound })
    .filter(({ min, max }) => (min ?? max) !== undefined && (min ?? 0) <= (max ?? Infinity))
    .map(present);
}

const gpu = fc
  .record({
    model: maybe(fc.subarray(['H100', 'H200', 'A100'] as const, { minLength: 1 }).map((names) => [...names])),
    vramGiB: rarely(range(40, 79, 79.6, 80)),
    count: rarely(range(1, 2, 3)),
    confidential: rarely(fc.boolean()),
  })
  .map(present);

const trust = fc
  .record({
    level: maybe(
      fc.constantFrom('unverified' as const, 'identified' as const, 'verified' as const, 'audited' as const),
    ),
    reputation: maybe(fc.constantFrom(0.5, 0.95).map((min) => ({ min }))),
    stake: maybe(fc.constantFrom('1000 CREDIT', '1000.00 CREDIT', '0 CREDIT', '1 ETH').map((min) => ({ min }))),
    ...provenance,
  })
  .filter(({ level, reputation, stake }) => (level ?? reputation ?? stake) !== undefined)
  .map(present);

const entry = fc
  .record({
    id: fc.oneof(fc.constantFrom(...MODELS), fc.constantFrom('lab/*', '**', '*', 'l?b/*l', '*/vision', 'lab/s**')),
    digest: rarely(fc.constantFrom(...DIGESTS)),
    audited: rarely(
      fc
        .record({ by: fc.subarray(ISSUERS, { minLength: 1 }), maxAge: maybe(fc.constantFrom('1d', '10m', '24h')) })
        .map(present),
    ),
  })
  .map(present);
const modality = fc.subarray(['text', 'image', 'audio'] as const, { minLength: 1 }).map((names) => [...names]);

export const models: fc.Arbitrary<Partial<ModelsClause>> = fc
  .record({
    allow: maybe(fc.array(entry, { minLength: 1, maxLength: 3 })),
    quantization: rarely(
      fc.constantFrom('int4' as const, 'fp8' as const, 'fp16' as const, 'bf16' as const).map((min) => ({ min })),
    ),
    modalities: rarely(
      fc
        .record({ all: maybe(modality), any: maybe(modality) })
        .filter(({ all, any }) => (all ?? any) !== undefined)
        .map(present),
    ),
    dedicated: rarely(fc.boolean()),
  })
  .map(present);

export const nodes: fc.Arbitrary<Partial<NodesClause>> = fc
  .record({
    operators: rarely(fc.subarray([...PRINCIPALS], { minLength: 1 }).map((list) => ({ in: list }))),
    location: maybe(places),
    operatorSeat: rarely(places),
    hardware: rarely(fc.record({ gpu, ...provenance }).map(present)),
    trust: rarely(trust),
    labels: rarely(fc.constantFrom({ tier: 'gold' }, { tier: 'silver' }, { tier: 'gold', rack: '7' })),
    maxAge: fc.constantFrom('10m', '10m', '10m', '1d', '0s'),
  })
  .map(present);

/** Every clause in force, alone and in combination. */
export const spec: fc.Arbitrary<OracleSubcloud['spec']> = fc.record({
  models,
  nodes,
  participation: fc.constantFrom(
    { mode: 'open' as const, autoJoin: true, cooldown: '0s' },
    { mode: 'open' as const, autoJoin: false, cooldown: '0s' },
    { mode: 'private' as const, autoJoin: false, cooldown: '0s' },
  ),
  isolation: fc.constantFrom('shared' as const, 'isolate' as const, 'exclusive' as const),
});

/** Claims of every fact, in a world so small that its parts meet: few models, digests, issuers and places. */
import type { Claim, ClaimSource, FactName, FactValues, GpuFact, ModelFact, Place } from '@subcloud/policy/facts';
import type { PrincipalId } from '@subcloud/policy/principal';
import fc from 'fast-check';
import { COUNTRIES, SUBDIVISIONS } from './oracle-places.ts';

export const NOW = 1_800_000_000_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export const PRINCIPALS: readonly PrincipalId[] = ['org:acme', 'org:birch', 'team:acme/ml', 'user:solo'];
export const MODELS = ['lab/small', 'lab/large', 'other/vision'];
export const DIGESTS = [`sha256:${'a'.repeat(64)}`, `sha256:${'b'.repeat(64)}`];
/** Of the network and of an owner; `medcert` is the name of one of each. */
export const ISSUERS = ['network', 'medcert', 'acme-audits'];
const LABELS = ['tier=gold', 'tier=silver', 'rack=7'];

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

/** Before, at and after the moment that is asked about, and close to the ages that policies ask for. */
const age = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 5 * MINUTE_MS }) },
  { weight: 2, arbitrary: fc.constantFrom(10 * MINUTE_MS - 1, 10 * MINUTE_MS, 10 * MINUTE_MS + 1) },
  { weight: 1, arbitrary: fc.constantFrom(DAY_MS - 1, DAY_MS, DAY_MS + 1) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 2 * DAY_MS }) },
);
const expiry = fc.oneof(
  { weight: 3, arbitrary: fc.constant(null) },
  { weight: 4, arbitrary: fc.integer({ min: 1, max: DAY_MS }).map((after) => NOW + after) },
  { weight: 2, arbitrary: fc.constantFrom(NOW - 1, NOW, NOW + 1) },
);

const model: fc.Arbitrary<ModelFact> = fc.record({
  id: fc.constantFrom(...MODELS),
  digest: fc.constantFrom(null, ...DIGESTS, ...DIGESTS),
  quantization: fc.constantFrom(null, 'int4', 'int8', 'fp8', 'fp16', 'bf16', 'fp32'),
  modalities: fc.option(fc.subarray(['text', 'image', 'audio'] as const)),
  contextLength: fc.constantFrom(null, 8_192),
});

const gpu: fc.Arbitrary<GpuFact> = fc
  .record({
    name: fc.constantFrom('H100', 'H200', 'A100', null),
    vramGiB: fc.constantFrom(79.6, 79.6, 40, 141, null),
    confidential: fc.constantFrom(true, false, null),
  })
  .map(({ name, vramGiB, confidential }) => ({
    model: name as GpuFact['model'],
    driverName: name === null ? 'a device of tomorrow' : `NVIDIA ${name}`,
    vramGiB,
    confidential,
  }));

const valueOf: { readonly [Fact in FactName]: fc.Arbitrary<FactValues[Fact]> } = {
  location: fc
    .record({
      candidates: fc.oneof(
        { weight: 4, arbitrary: fc.tuple(place) },
        { weight: 2, arbitrary: fc.array(place, { maxLength: 3 }) },
      ),
      evidence: fc.constantFrom('two databases', 'a visit'),
    })
    .map(({ candidates, evidence }) => ({ candidates, evidence })),
  operatorSeat: place,
  models: fc.array(model, { maxLength: 4 }),
  hardware: fc.array(gpu, { maxLength: 4 }).map((gpus) => ({ gpus })),
  trustLevel: fc.constantFrom('unverified', 'identified', 'verified', 'audited'),
  reputation: fc.constantFrom(0, 0.5, 0.9499, 0.95, 1),
  stake: fc.constantFrom(
    '0 CREDIT',
    '999.99 CREDIT',
    '1000 CREDIT',
    '1000.0 CREDIT',
    '2000 CREDIT',
    '1000 ETH',
    'much',
  ),
  uptime30d: fc.constantFrom(0, 0.99, 1),
  audit: fc.constantFrom(...DIGESTS).map((digest) => ({ digest })),
  labels: fc
    .subarray(LABELS)
    .map((pairs) => Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string]))),
};
const FACTS = Object.keys(valueOf) as FactName[];

function claimOf(fact: FactName): fc.Arbitrary<Claim> {
  return fc
    .record(
      {
        source,
        issuer: fc.constantFrom(...ISSUERS),
        issuerOwner: fc.constantFrom(null, null, 'org:acme' as const, 'org:birch' as const),
        age,
        confirmedAge: age,
        expiresAt: expiry,
        value: valueOf[fact] as fc.Arbitrary<unknown>,
      },
      { requiredKeys: ['source', 'issuer', 'age', 'confirmedAge', 'expiresAt', 'value'] },
    )
    .map(
      ({ age: issued, confirmedAge, ...drawn }) =>
        ({ id: `clm_${fact}`, fact, ...drawn, issuedAt: NOW - issued, confirmedAt: NOW - confirmedAge }) as Claim,
    );
}

/** One claim of any fact. */
export const claim: fc.Arbitrary<Claim> = fc.constantFrom(...FACTS).chain(claimOf);

export function fresh<Fact extends Claim['fact']>(
  fact: Fact,
  is: Extract<Claim, { fact: Fact }>['value'] | object,
  from: ClaimSource,
  expiresAt: number | null,
): Claim {
  const id = `clm_${fact}_${from}`;
  return { id, fact, value: is, source: from, issuer: 'network', issuedAt: NOW, confirmedAt: NOW, expiresAt } as Claim;
}

/** A model of which nothing but the id is known. */
export function bare(id: string): ModelFact {
  return { id, digest: null, quantization: null, modalities: null, contextLength: null };
}

/** What a healthy node has: fresh claims of all facts from where they usually come. */
const healthyClaims: fc.Arbitrary<readonly Claim[]> = fc
  .record({
    at: place,
    seat: place,
    ids: fc.subarray(MODELS, { minLength: 1 }),
    model,
    gpus: fc.array(gpu, { minLength: 1, maxLength: 2 }),
    level: fc.constantFrom('verified' as const, 'audited' as const),
    labels: valueOf.labels,
    audited: fc.boolean(),
  })
  .map((drawn) => [
    fresh('location', { candidates: [drawn.at], evidence: 'two databases' }, 'measured', null),
    fresh('operatorSeat', drawn.seat, 'attested', null),
    fresh(
      'models',
      drawn.ids.map((id) => ({ ...drawn.model, id })),
      'declared',
      NOW + DAY_MS,
    ),
    fresh('hardware', { gpus: drawn.gpus }, 'attested', null),
    fresh('trustLevel', drawn.level as unknown as object, 'measured', null),
    fresh('reputation', 0.97 as unknown as object, 'measured', null),
    fresh('stake', '1500 CREDIT' as unknown as object, 'attested', null),
    fresh('labels', drawn.labels, 'declared', NOW + DAY_MS),
    ...(drawn.audited ? [fresh('audit', { digest: DIGESTS[0] ?? '' }, 'attested', null)] : []),
  ]);

/** Healthy, or anything at all: expired, stale, contradictory, too weak, missing. */
export const claims: fc.Arbitrary<readonly Claim[]> = fc.oneof(
  { weight: 3, arbitrary: healthyClaims },
  {
    weight: 4,
    arbitrary: fc
      .tuple(healthyClaims, fc.array(claim, { maxLength: 4 }))
      .map(([healthy, further]) => [...healthy, ...further]),
  },
  { weight: 2, arbitrary: fc.array(claim, { maxLength: 16 }) },
);

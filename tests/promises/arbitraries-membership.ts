/** What memberships turn on besides clauses: cooldowns, private models, and operators who keep something back. */
import type { Consent } from '@subcloud/policy/consent';
import fc from 'fast-check';
import {
  NAMES,
  consent as plainConsent,
  easySpec as plainEasySpec,
  principal,
  spec as plainSpec,
} from './arbitraries.ts';
import { MODELS } from './arbitraries-claims.ts';
import type { OracleSubcloud } from './oracle.ts';

type Spec = OracleSubcloud['spec'];

function withTerms(spec: fc.Arbitrary<Spec>): fc.Arbitrary<Spec> {
  const cooldown = fc.constantFrom('0s', '10m', '10m', '1d');
  const keeps = fc.oneof({ weight: 2, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });
  return fc
    .tuple(spec, cooldown, keeps, fc.subarray([...MODELS], { minLength: 1, maxLength: 2 }))
    .map(([drawn, waits, isPrivate, kept]) => ({
      ...drawn,
      participation: { ...drawn.participation, cooldown: waits },
      ...(isPrivate ? { models: { allow: kept.map((id) => ({ id })), private: true } } : {}),
    }));
}

export const spec = withTerms(plainSpec);
export const easySpec = withTerms(plainEasySpec);

export const consent: fc.Arbitrary<Consent> = fc
  .tuple(
    plainConsent,
    fc.subarray(NAMES, { maxLength: 1 }),
    fc.boolean(),
    fc.constantFrom(...MODELS, '**'),
    // Who says yes to being somebody's alone says so by name: drawn at random it would come to pass all too rarely.
    fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.subarray(NAMES, { minLength: 1 }) }),
  )
  .map(([drawn, leave, keeps, model, alone]) => ({
    ...drawn,
    join: [...drawn.join, ...alone.map((name) => ({ name, isolation: 'exclusive' as const }))],
    ...(keeps ? {} : { leave }),
    ...(keeps && model !== '**' ? { pools: { alpha: { models: [model] } } } : {}),
  }));

export const subclouds: fc.Arbitrary<readonly OracleSubcloud[]> = fc
  .array(fc.record({ owner: principal, spec: fc.oneof(spec, easySpec) }), { maxLength: NAMES.length })
  .map((drawn) => drawn.map((one, index) => ({ id: `sub_${index}`, name: NAMES[index] ?? '', ...one })));

/** What the models of a node take besides text, by the claim that counts of them now. */
import { requirementsOf } from './clauses/fact-clause.ts';
import { type NodeFacts, countedClaim, indexFacts } from './facts.ts';
import type { Modality } from './scales.ts';

/** What a request may have in it besides text. */
export const INPUT_MODALITIES = ['image', 'audio', 'video'] as const satisfies readonly Modality[];
export type InputModality = (typeof INPUT_MODALITIES)[number];

const [ANY_SOURCE] = requirementsOf({}, 'declared', { owner: null, maxAgeMs: Number.POSITIVE_INFINITY });

/** By network id; models that take only text, or of which it is not known, are not in it. Undefined: none is. */
export function modelInputs(facts: NodeFacts, nowMs: number): Record<string, InputModality[]> | undefined {
  if (ANY_SOURCE === undefined) return undefined;
  const claim = countedClaim(indexFacts(facts), 'models', ANY_SOURCE, nowMs);
  if (typeof claim === 'string') return undefined;
  let found: Record<string, InputModality[]> | undefined;
  for (const { id, modalities } of claim.value) {
    const inputs = INPUT_MODALITIES.filter((modality) => modalities?.includes(modality) === true);
    if (inputs.length > 0) (found ??= {})[id] = inputs;
  }
  return found;
}

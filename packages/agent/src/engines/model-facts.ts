/** What this machine can say of each network id, over all its engines. */
import type { ModelFact } from '@subcloud/policy/facts';
import type { Engine } from './engine.ts';
import type { ModelTraits } from './engine-make.ts';

/** More than a declaration may hold is not declared. */
const MAX_FACTS = 1024;

/**
 * Sorted by id. A request may go to any engine that has the model, so a fact holds only where all of them say the same;
 * where one says something else, or nothing, it is unknown.
 */
export function modelFacts(engines: readonly Pick<Engine, 'models' | 'traits'>[]): readonly ModelFact[] {
  const found = new Map<string, ModelTraits>();
  for (const { traits } of engines) {
    for (const [id, said] of traits) {
      const before = found.get(id);
      found.set(id, before === undefined ? said : agreed(before, said));
    }
  }
  return [...found.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, MAX_FACTS)
    .map(([id, traits]) => ({ id, ...traits }));
}

function agreed(one: ModelTraits, other: ModelTraits): ModelTraits {
  const same = one.modalities?.length === other.modalities?.length;
  return {
    digest: one.digest === other.digest ? one.digest : null,
    quantization: one.quantization === other.quantization ? one.quantization : null,
    modalities:
      same && one.modalities?.every((word) => other.modalities?.includes(word)) === true ? one.modalities : null,
    contextLength: one.contextLength === other.contextLength ? one.contextLength : null,
  };
}

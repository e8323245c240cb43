/**
 * LM Studio: `/api/v0/models`. A loaded model has the context that it was loaded with; of one that is not loaded the
 * only number is the model's largest. Unknown paths answer 200 there, so only the shape counts.
 */
import type { Modality } from '@subcloud/policy/scales';
import { type EngineMake, isRecord, leastOf, listOf, ownedBy, recordOf, tokensOf } from './engine-make.ts';
import { quantizationOf } from './quantization-names.ts';

const MODALITIES: ReadonlyMap<unknown, readonly Modality[]> = new Map([
  ['llm', ['text']],
  ['vlm', ['text', 'image']],
  ['embeddings', ['embedding']],
]);

export const lmStudio: EngineMake = {
  name: 'LM Studio',
  looksLike: (listed) => ownedBy(listed, 'organization_owner'),
  async read(_listed, ask) {
    const entries = listOf(recordOf(await ask('/api/v0/models'))['data']).filter(isRecord);
    const own = entries.filter(({ id, state, type }) => [id, state, type].every((word) => typeof word === 'string'));
    if (own.length === 0 || own.length !== entries.length) return undefined;
    return {
      traits: new Map(
        own.map((entry) => [
          String(entry['id']),
          {
            digest: null,
            quantization: quantizationOf(entry['quantization']),
            modalities: MODALITIES.get(entry['type']) ?? null,
            contextLength: leastOf(tokensOf(entry['max_context_length']), tokensOf(entry['loaded_context_length'])),
          },
        ]),
      ),
    };
  },
};

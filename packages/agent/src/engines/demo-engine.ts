/**
 * This project's own demo engine: it names itself in the list of models. What it has no context length of makes
 * embeddings; the other model reads text.
 */
import { type EngineMake, UNKNOWN_TRAITS, ownedBy, tokensOf } from './engine-make.ts';

export const demoEngine: EngineMake = {
  name: 'demo engine',
  continues: true,
  looksLike: (listed) => ownedBy(listed, 'subcloud'),
  read(listed) {
    if (!ownedBy(listed, 'subcloud')) return Promise.resolve(undefined);
    const traits = listed.map(({ id, entry }) => {
      const contextLength = tokensOf(entry['max_model_len']);
      const modality = contextLength === null ? ('embedding' as const) : ('text' as const);
      return [id, { ...UNKNOWN_TRAITS, contextLength, modalities: [modality] }] as const;
    });
    return Promise.resolve({ traits: new Map(traits) });
  },
};

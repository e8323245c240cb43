/**
 * SGLang: `/model_info` tells the modalities, `/server_info` the quantisation; older servers have both under `/get_…`.
 * Without a `quantization` there the checkpoint decides, which no answer shows: unknown, also where `dtype` is named.
 */
import type { Modality } from '@subcloud/policy/scales';
import { type Ask, type EngineMake, isRecord, ownedBy, recordOf, tokensOf } from './engine-make.ts';
import { quantizationOf } from './quantization-names.ts';

export const sglang: EngineMake = {
  name: 'SGLang',
  continues: true,
  looksLike: (listed) => ownedBy(listed, 'sglang'),
  async read(listed, ask) {
    const model = await askEither(ask, 'model_info');
    if (!isRecord(model) || typeof model['model_path'] !== 'string' || typeof model['is_generation'] !== 'boolean') {
      return undefined;
    }
    const server = recordOf(await askEither(ask, 'server_info'));
    const quantization = quantizationOf(server['quantization']);
    const modalities = modalitiesOf(model);
    return {
      traits: new Map(
        listed.map(({ id, entry }) => {
          const contextLength = tokensOf(entry['max_model_len']) ?? tokensOf(server['context_length']);
          return [id, { digest: null, quantization, modalities, contextLength }];
        }),
      ),
    };
  },
};

/** Servers before has_image_understanding do not say what else than text they read. */
function modalitiesOf(model: Readonly<Record<string, unknown>>): readonly Modality[] | null {
  if (model['is_generation'] === false) return ['embedding'];
  const { has_image_understanding: image, has_audio_understanding: audio } = model;
  if (typeof image !== 'boolean' || typeof audio !== 'boolean') return null;
  return ['text', ...(image ? (['image'] as const) : []), ...(audio ? (['audio'] as const) : [])];
}

async function askEither(ask: Ask, name: string): Promise<unknown> {
  return (await ask(`/${name}`)) ?? (await ask(`/get_${name}`));
}

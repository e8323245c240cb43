/**
 * llama.cpp's server: `/props` tells the context of one slot (what one request gets), modalities and, in newer builds,
 * the file type; the list's `meta` has some of it too. A router in front of several models would load one to answer for
 * it, so there only the list is read. It also answers for Ollama (`/api/tags`), and is therefore asked first.
 *
 * Whether it can go on with an answer depends on options that it does not tell, so it is asked with every reading, and
 * never of a server that sleeps: the question would load its model. What one said before it fell asleep holds as long as
 * it is the same build, model and template, and answers.
 */
import type { Modality } from '@subcloud/policy/scales';
import { type Ask, type EngineMake, isRecord, ownedBy, recordOf, tokensOf } from './engine-make.ts';
import { continuesMessages } from './llama-cpp-continues.ts';
import { quantizationOf } from './quantization-names.ts';

export function createLlamaCpp(): EngineMake {
  let told: { readonly by: string; readonly continues: boolean } | undefined;
  const continuesBy = async (props: Readonly<Record<string, unknown>>, ask: Ask): Promise<boolean> => {
    const by = JSON.stringify(['build_info', 'model_path', 'chat_template'].map((key) => props[key]));
    if (props['is_sleeping'] === true) return told?.by === by && told.continues;
    const continues = (await continuesMessages(ask)) === true;
    told = { by, continues };
    return continues;
  };
  return {
    name: 'llama.cpp',
    looksLike: (listed) => ownedBy(listed, 'llamacpp'),
    async read(listed, ask) {
      const props = await ask('/props');
      // It may be another one by the time that it answers again.
      if (props === undefined) told = undefined;
      if (!isRecord(props) || !isRecord(props['default_generation_settings'])) return undefined;
      if (typeof props['build_info'] !== 'string' && typeof props['total_slots'] !== 'number') return undefined;
      const single = listed.length === 1 && props['role'] !== 'router';
      const settings = single ? props['default_generation_settings'] : {};
      return {
        continues: single && (await continuesBy(props, ask)),
        traits: new Map(
          listed.map(({ id, entry }) => {
            const meta = recordOf(entry['meta']);
            return [
              id,
              {
                digest: null,
                quantization: quantizationOf(meta['ftype']) ?? (single ? quantizationOf(props['model_ftype']) : null),
                modalities: single ? modalitiesOf(props['modalities']) : null,
                contextLength: tokensOf(settings['n_ctx']) ?? tokensOf(meta['n_ctx']) ?? tokensOf(meta['n_ctx_train']),
              },
            ];
          }),
        ),
      };
    },
  };
}

function modalitiesOf(said: unknown): readonly Modality[] | null {
  if (!isRecord(said) || typeof said['vision'] !== 'boolean') return null;
  return [
    'text',
    ...(said['vision'] ? (['image'] as const) : []),
    ...(said['audio'] === true ? (['audio'] as const) : []),
    ...(said['video'] === true ? (['video'] as const) : []),
  ];
}

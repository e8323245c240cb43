/**
 * Hugging Face's Text Generation Inference: `/info`. Its `model_sha` is the commit of a repository and no hash of the
 * weights, so there is no digest. `model_dtype` (before version 3) is the type of the arithmetic, also of quantised
 * weights: the quantisation stays unknown, unless it names one itself.
 */
import { type EngineMake, isRecord, tokensOf } from './engine-make.ts';
import { quantizationOf } from './quantization-names.ts';

export const tgi: EngineMake = {
  name: 'TGI',
  // The one model is its own owner in the list.
  looksLike: (listed) => listed.length === 1 && listed[0]?.entry['owned_by'] === listed[0]?.id,
  async read(listed, ask) {
    const info = await ask('/info');
    if (!isRecord(info) || typeof info['model_id'] !== 'string' || typeof info['version'] !== 'string')
      return undefined;
    // What embeddings servers of the same house lack.
    const contextLength = tokensOf(info['max_total_tokens']);
    if (contextLength === null) return undefined;
    const traits = {
      digest: null,
      quantization: quantizationOf(info['quantize']),
      modalities: null,
      contextLength,
    };
    return { traits: new Map(listed.map(({ id }) => [id, traits])) };
  },
};

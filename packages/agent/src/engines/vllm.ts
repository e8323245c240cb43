/**
 * vLLM: `owned_by: vllm` and the context length in the list of models, and a `/version`. It tells neither
 * quantisation nor modalities (its `/server_info` is for development only), so both stay unknown.
 */
import { type EngineMake, type ListedModel, UNKNOWN_TRAITS, isRecord, ownedBy, tokensOf } from './engine-make.ts';

export const vllm: EngineMake = {
  name: 'vLLM',
  continues: true,
  looksLike: (listed) => ownedBy(listed, 'vllm'),
  async read(listed, ask) {
    if (!ownedBy(listed, 'vllm')) return undefined;
    const version = await ask('/version');
    if (!isRecord(version) || typeof version['version'] !== 'string') return undefined;
    return { traits: contextLengths(listed) };
  },
};

/** `max_model_len` of the list: what vLLM and SGLang write, and others after them. LoRA adapters have none. */
export function contextLengths(listed: readonly ListedModel[]) {
  return new Map(
    listed.map(({ id, entry }) => [id, { ...UNKNOWN_TRAITS, contextLength: tokensOf(entry['max_model_len']) }]),
  );
}

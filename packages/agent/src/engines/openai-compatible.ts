/** Any other server that speaks the OpenAI API. All that it may tell is the context length, in vLLM's words. */
import type { EngineMake } from './engine-make.ts';
import { contextLengths } from './vllm.ts';

export const openAiCompatible: EngineMake = {
  name: 'OpenAI-compatible',
  looksLike: () => true,
  read: (listed) => Promise.resolve({ traits: contextLengths(listed) }),
};

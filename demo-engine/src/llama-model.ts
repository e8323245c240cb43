import {
  type ChatHistoryItem,
  getLlama,
  JinjaTemplateChatWrapper,
  type LlamaContextSequence,
  LlamaLogLevel,
  type LlamaModel,
  type Token,
} from 'node-llama-cpp';
import { ApiError } from './api-error.ts';
import { BoundedPool } from './bounded-pool.ts';
import { StopScanner } from './stop-scanner.ts';
import type {
  ChatMessage,
  GeneratedPiece,
  GeneratedToken,
  GenerationEnd,
  GenerationRequest,
  TextModel,
} from './text-model.ts';

/** One sequence a request in progress; all are computed in one batch. */
const maxSequences = 4;
const maxWaiting = 64;
const maxContextTokens = 1_024;
/** JSON knows no minus infinity; this is what OpenAI's API says for a token that all but cannot come. */
const leastLogprob = -9_999;

/** A model file in llama.cpp, on the processor. */
export async function loadLlamaModel(id: string, modelPath: string): Promise<TextModel> {
  // No compiler and no graphics card: the binary that npm brought, or an error.
  // One thread: for so small a model the threads' hand-over costs more than they compute (1,600 tokens/s with one, 64 with two).
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: 1, logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
  const context = await model.createContext({ sequences: maxSequences, contextSize: maxContextTokens, threads: 1 });
  const sequences = Array.from({ length: context.totalSequences }, () => context.getSequence());
  const pool = new BoundedPool<LlamaContextSequence>(sequences, maxWaiting);
  const renderPrompt = promptRenderer(model);

  return {
    id,
    maxContextTokens,
    async *generate(request, signal) {
      const prompt = request.prompt === undefined ? renderPrompt(request.messages) : rawPrompt(model, request.prompt);
      // The last place belongs to the token that ends the answer.
      const room = maxContextTokens - prompt.length - 1;
      if (room < 1) {
        throw new ApiError(
          400,
          `The prompt has ${prompt.length} tokens; this model reads at most ${maxContextTokens - 2}.`,
          { code: 'context_length_exceeded', param: request.prompt === undefined ? 'messages' : 'prompt' },
        );
      }
      using turn = await pool.acquire(signal);
      const maxTokens = Math.min(request.maxTokens ?? room, room);
      return yield* writeAnswer(model, turn.item, prompt, { ...request, maxTokens }, signal);
    },
    [Symbol.asyncDispose]: () => llama.dispose(),
  };
}

/** The template inside the model file turns messages into the text that the model was trained on. */
function promptRenderer(model: LlamaModel): (messages: readonly ChatMessage[]) => Token[] {
  const template = model.fileInfo.metadata.tokenizer.chat_template;
  if (template === undefined) throw new Error('the model file has no chat template');
  const wrapper = new JinjaTemplateChatWrapper({ template, tokenizer: model.tokenizer });
  const beginning = model.tokens.shouldPrependBosToken && model.tokens.bos !== null ? [model.tokens.bos] : [];

  return (messages) => {
    const last = messages.at(-1);
    // Continued exactly where it ends: its tokens follow the template's opening of an answer, with no closing in between.
    const prefill = last?.role === 'assistant' ? last.content : '';
    const chatHistory = (last?.role === 'assistant' ? messages.slice(0, -1) : messages).map(historyItem);
    chatHistory.push({ type: 'model', response: [] });
    const { contextText } = wrapper.generateContextState({ chatHistory });
    return [...beginning, ...contextText.tokenize(model.tokenizer), ...model.tokenize(prefill, false)];
  };
}

function rawPrompt(model: LlamaModel, text: string): Token[] {
  const beginning = model.tokens.shouldPrependBosToken && model.tokens.bos !== null ? [model.tokens.bos] : [];
  return [...beginning, ...model.tokenize(text, false)];
}

function historyItem(message: ChatMessage): ChatHistoryItem {
  if (message.role === 'assistant') return { type: 'model', response: [message.content] };
  return { type: message.role, text: message.content };
}

async function* writeAnswer(
  model: LlamaModel,
  sequence: LlamaContextSequence,
  prompt: readonly Token[],
  request: GenerationRequest & { readonly maxTokens: number },
  signal: AbortSignal,
): AsyncGenerator<GeneratedPiece, GenerationEnd, void> {
  const stops = new StopScanner(request.stop);
  let completionTokens = 0;
  // Tokens whose bytes do not make up whole characters yet, and tokens whose text a stop sequence may still swallow.
  let undecoded: Token[] = [];
  let unsent: GeneratedToken[] = [];
  const end = (finishReason: GenerationEnd['finishReason']): GenerationEnd => ({
    finishReason,
    promptTokens: prompt.length,
    completionTokens,
  });
  const piece = (text: string): GeneratedPiece => {
    const tokens = unsent;
    unsent = [];
    return { text, tokens };
  };

  for await (const output of evaluate(sequence, prompt, request)) {
    if (signal.aborted) return end('stop');
    if (model.isEogToken(output.token)) {
      const rest = stops.flush() + model.detokenize(undecoded);
      if (rest !== '' || unsent.length > 0) yield piece(rest);
      return end('stop');
    }
    completionTokens += 1;
    undecoded.push(output.token);
    if (request.topLogprobs !== undefined) unsent.push(describeToken(model, output, request.topLogprobs));
    const isLast = completionTokens >= request.maxTokens;
    const decoded = model.detokenize(undecoded);
    if (decoded.endsWith('\uFFFD') && !isLast) continue;
    undecoded = [];
    const { text, stopped } = stops.push(decoded);
    const rest = isLast && !stopped ? stops.flush() : '';
    if (text !== '' || rest !== '' || isLast || stopped) yield piece(text + rest);
    if (stopped) return end('stop');
    if (isLast) return end('length');
  }
  return end('stop');
}

interface EvaluatedToken {
  readonly token: Token;
  readonly confidence?: number;
  readonly probabilities?: ReadonlyMap<Token, number>;
}

async function* evaluate(
  sequence: LlamaContextSequence,
  prompt: readonly Token[],
  request: GenerationRequest,
): AsyncGenerator<EvaluatedToken, void, void> {
  // A used sequence would go on where it was: keep the beginning that both share, drop the rest. The last token is always computed anew,
  // since its outcome is where the answer begins.
  await sequence.adaptStateToTokens(prompt.slice(0, -1), false);
  yield* sequence.evaluateWithMetadata(
    prompt.slice(sequence.nextTokenIndex),
    { confidence: request.topLogprobs !== undefined, probabilities: (request.topLogprobs ?? 0) > 0 },
    {
      temperature: request.temperature,
      topP: request.topP,
      // As OpenAI's API: nothing is cut off that was not asked for.
      topK: 0,
      yieldEogToken: true,
      ...(request.seed === undefined ? {} : { seed: request.seed }),
    },
  );
}

function describeToken(model: LlamaModel, output: EvaluatedToken, topLogprobs: number): GeneratedToken {
  const describe = (token: Token, probability: number) => ({
    token: model.detokenize([token]),
    logprob: Math.max(Math.log(probability), leastLogprob),
  });
  const likeliest = [...(output.probabilities ?? [])].slice(0, topLogprobs);
  return {
    ...describe(output.token, output.confidence ?? 0),
    alternatives: likeliest.map(([token, probability]) => describe(token, probability)),
  };
}

/**
 * Requests whose answers are recorded from a real server and replayed in every run of the tests: each form that an
 * answer of OpenAI's API can have.
 */
import type { LlamaKind } from './llama-server.ts';
import { LLAMA_MODEL } from './llama-server.ts';

export interface Exchange {
  /** Also the name of its file. */
  readonly name: string;
  readonly kind: LlamaKind;
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const CAPITAL = [{ role: 'user', content: 'What is the capital of France?' }];
const base = { model: LLAMA_MODEL, temperature: 0, seed: 1 };
const usage = { stream: true, stream_options: { include_usage: true } };

const TOOLS = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'The weather of a city',
      parameters: {
        type: 'object',
        properties: {
          city: { type: 'string', enum: ['Paris', 'Rome'] },
          unit: { type: 'string', enum: ['C', 'F'] },
        },
        required: ['city', 'unit'],
      },
    },
  },
];
/**
 * The model has never seen a call. It is led to its opening by a bias on the tokens of it, in their order, and by a penalty
 * on what was said; from there the server's grammar alone decides what may follow.
 */
const OPENING = [66, 122, 117, 550, 101, 289, 283, 68, 16, 129, 40, 116, 103, 290];
const led = (first: number, step: number): Record<string, number> =>
  Object.fromEntries(OPENING.map((token, index) => [String(token), first - step * index]));
const call = { ...base, messages: CAPITAL, tools: TOOLS, tool_choice: 'required', max_tokens: 300 };
const one = { ...call, logit_bias: led(200, 10), presence_penalty: 400, repeat_last_n: 64, parallel_tool_calls: false };
const many = { ...call, logit_bias: led(250, 10), presence_penalty: 200, repeat_last_n: 40, parallel_tool_calls: true };

const schema = {
  type: 'json_schema',
  json_schema: {
    name: 'answer',
    strict: true,
    schema: {
      type: 'object',
      properties: { capital: { enum: ['Paris', 'Rome'] }, certain: { type: 'boolean' } },
      required: ['capital', 'certain'],
      additionalProperties: false,
    },
  },
};

const chat = (name: string, body: object, kind: LlamaKind = 'chat'): Exchange => ({
  name,
  kind,
  path: '/v1/chat/completions',
  body: { ...base, ...body },
});

export const EXCHANGES: readonly Exchange[] = [
  chat('chat', { messages: CAPITAL }),
  chat('chat-stream', { messages: CAPITAL, stream: true }),
  chat('chat-stream-usage', { messages: CAPITAL, ...usage }),
  chat('chat-stream-length', { messages: CAPITAL, max_tokens: 3, ...usage }),
  chat('chat-stop', { messages: CAPITAL, stop: [' is'] }),
  chat('logprobs', { messages: CAPITAL, logprobs: true, top_logprobs: 2 }),
  chat('logprobs-stream', { messages: CAPITAL, logprobs: true, top_logprobs: 2, ...usage }),
  chat('choices-stream', { messages: CAPITAL, n: 2, ...usage }),
  chat('schema', { messages: CAPITAL, response_format: schema, max_tokens: 100 }),
  chat('schema-stream', { messages: CAPITAL, response_format: schema, max_tokens: 100, ...usage }),
  chat('tool-call', one, 'tools'),
  chat('tool-call-stream', { ...one, ...usage }, 'tools'),
  chat('tool-calls-parallel', many, 'tools'),
  chat('tool-calls-parallel-stream', { ...many, ...usage }, 'tools'),
  {
    name: 'completion',
    kind: 'chat',
    path: '/v1/completions',
    body: { ...base, prompt: 'The capital of', max_tokens: 8 },
  },
  {
    name: 'completion-stream',
    kind: 'chat',
    path: '/v1/completions',
    body: { ...base, prompt: 'The capital of', max_tokens: 8, logprobs: 2, ...usage },
  },
  {
    name: 'embeddings',
    kind: 'embeddings',
    path: '/v1/embeddings',
    body: { model: LLAMA_MODEL, input: ['a fox', 'a sky'] },
  },
  {
    name: 'embeddings-base64',
    kind: 'embeddings',
    path: '/v1/embeddings',
    body: { model: LLAMA_MODEL, input: 'a fox', encoding_format: 'base64' },
  },
  chat('too-long', { messages: [{ role: 'user', content: 'fox '.repeat(1_500) }] }),
  { name: 'no-embeddings', kind: 'chat', path: '/v1/embeddings', body: { model: LLAMA_MODEL, input: 'a fox' } },
  chat('bad-schema', {
    messages: CAPITAL,
    response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'nonsense' } } },
  }),
];

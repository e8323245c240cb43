import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ApiError } from './api-error.ts';
import { parseChatRequest } from './chat-request.ts';

const least = { model: 'm', messages: [{ role: 'user', content: 'hi' }] };

test('the least that a request can say gets the defaults of OpenAI’s API', () => {
  expect(parseChatRequest(least)).toEqual({
    model: 'm',
    messages: [{ role: 'user', content: 'hi' }],
    maxTokens: undefined,
    temperature: 1,
    topP: 1,
    seed: undefined,
    stop: [],
    topLogprobs: undefined,
    stream: false,
    includeUsage: false,
  });
});

test('null means: not given', () => {
  const nulls = { temperature: null, top_p: null, stop: null, seed: null, max_tokens: null, stream: null, n: null };
  expect(parseChatRequest({ ...least, ...nulls, stream_options: null })).toEqual(parseChatRequest(least));
});

test('what asks for nothing special is no fault', () => {
  const plain = {
    response_format: { type: 'text' },
    modalities: ['text'],
    presence_penalty: 0,
    logit_bias: {},
    tools: [],
  };
  expect(parseChatRequest({ ...least, ...plain, tool_choice: 'none' })).toEqual(parseChatRequest(least));
});

test('text parts are joined, and developer is the system', () => {
  const messages = [
    { role: 'developer', content: 'be brief' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ],
    },
  ];
  expect(parseChatRequest({ ...least, messages }).messages).toEqual([
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'ab' },
  ]);
});

test.each([
  ['model', { model: 7 }],
  ['messages', { messages: [] }],
  ['messages.0.role', { messages: [{ role: 'tool', content: 'x' }] }],
  ['messages.0.content', { messages: [{ role: 'user' }] }],
  ['messages.0.content.0', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }],
  ['n', { n: 2 }],
  ['tools', { tools: [{ type: 'function' }] }],
  ['temperature', { temperature: 3 }],
  ['temperature', { temperature: '0' }],
  ['max_tokens', { max_tokens: 0 }],
  ['max_completion_tokens', { max_completion_tokens: 1.5 }],
  ['stop', { stop: ['a', 'b', 'c', 'd', 'e'] }],
  ['stop', { stop: '' }],
  ['top_logprobs', { logprobs: true, top_logprobs: 21 }],
  ['top_logprobs', { top_logprobs: 2 }],
  ['stream', { stream: 'yes' }],
  ['response_format', { response_format: { type: 'json_object' } }],
  ['response_format', { response_format: { type: 'json_schema', json_schema: { name: 'a', schema: {} } } }],
  ['modalities', { modalities: ['text', 'audio'] }],
  ['presence_penalty', { presence_penalty: 0.5 }],
  ['frequency_penalty', { frequency_penalty: -1 }],
  ['logit_bias', { logit_bias: { 50256: -100 } }],
])('a fault in %s is refused with its name', (param, fault) => {
  expect(() => parseChatRequest({ ...least, ...fault })).toThrow(
    expect.objectContaining({ status: 400, param }) as Error,
  );
});

test('whatever JSON comes, it is a request or a refusal', () => {
  const body = fc.oneof(
    fc.jsonValue(),
    fc.dictionary(fc.constantFrom('model', 'messages', 'stop', 'n', 'stream_options', 'temperature'), fc.jsonValue()),
    fc.jsonValue().map((messages) => ({ ...least, messages: [messages] })),
  );
  fc.assert(
    fc.property(body, (value) => {
      try {
        expect(parseChatRequest(value).messages.length).toBeGreaterThan(0);
      } catch (error) {
        expect(error).toBeInstanceOf(ApiError);
      }
    }),
  );
});

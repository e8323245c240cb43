import fc from 'fast-check';
import { expect, test } from 'vitest';
import { textBytes } from './estimate.ts';
import { findUsage, readUsage } from './token-counts.ts';

const counts = (text: string) => {
  const bytes = Buffer.from(text);
  const at = findUsage(bytes);
  return at === -1 ? undefined : readUsage(bytes, at);
};

test('the counts of an engine are found in its JSON, whatever the text of the model says', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(1e6), fc.nat(1e6), fc.boolean(), (text, prompt, completion, pretty) => {
      const trap = `${text}"usage":{"prompt_tokens":1,"completion_tokens":1}`;
      const usage = {
        prompt_tokens: prompt,
        completion_tokens: completion,
        prompt_tokens_details: { cached_tokens: 3 },
      };
      const body = JSON.stringify(
        { choices: [{ message: { content: trap } }], usage, timings: {} },
        null,
        pretty ? 2 : 0,
      );
      expect(counts(body)).toEqual({ promptTokens: prompt, completionTokens: completion });
    }),
  );
});

test.each([
  '{}',
  '{"usage":null}',
  '{"usage":{"prompt_tokens":-1,"completion_tokens":2}}',
  '{"usage":{"prompt_tokens":1',
  '{"usage":{"prompt_tokens":1.5,"completion_tokens":1}}',
])('%s counts nothing', (text) => expect(counts(text)).toBeUndefined());

test('the text of a model is measured without its quotes and keys', () => {
  expect(textBytes(Buffer.from('{"choices":[{"delta":{"role":"assistant","content": "abc\\"d"}}]}'))).toBe(6);
  expect(textBytes(Buffer.from('{"choices":[{"delta":{"content":null}}]}'))).toBe(0);
  expect(textBytes(Buffer.from('{"content":"cut in the mid'))).toBe(14);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isModelId, modelId } from './words.ts';

test('the quick check of a model id says the same as its schema', () => {
  const near = fc.string({
    unit: fc.constantFrom(...Array.from('aZ0/.:-_ *?[]{}\t\n'), '\u00a0', '\u{1f600}', '\ud800'),
    maxLength: 8,
  });
  const long = fc.integer({ min: 250, max: 260 }).map((length) => 'm'.repeat(length));
  fc.assert(
    fc.property(fc.oneof(near, long, fc.string()), (text) => isModelId(text) === modelId.safeParse(text).success),
  );
  expect([isModelId(''), isModelId('m'), isModelId('m'.repeat(256)), isModelId('m'.repeat(257))]).toEqual([
    false,
    true,
    true,
    false,
  ]);
});

import { expect, test } from 'vitest';
import { joinInTurns } from './turns.ts';

test.each([[[]], [['']], [['a']], [['a', 'b', 'c']]])('short pieces %j are joined', async (pieces) => {
  expect(
    (
      await joinInTurns(
        pieces.map((text) => Buffer.from(text)),
        pieces.join('').length,
      )
    ).toString(),
  ).toBe(pieces.join(''));
});

test('pieces of any length are joined in order, and others come in between', async () => {
  const pieces = [3_000_000, 10, 1_048_576, 0, 2_097_153].map((bytes, index) => Buffer.alloc(bytes, index + 1));
  const whole = Buffer.concat(pieces);
  let turns = 0;
  let done = false;
  const count = (): void => {
    turns++;
    if (!done) setImmediate(count);
  };
  setImmediate(count);
  const joined = await joinInTurns(pieces, whole.byteLength);
  done = true;
  expect(joined.equals(whole)).toBe(true);
  expect(turns).toBeGreaterThanOrEqual(5);
});

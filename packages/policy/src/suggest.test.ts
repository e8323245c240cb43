import fc from 'fast-check';
import { expect, it } from 'vitest';
import { closest } from './suggest.ts';

it.each([
  ['isolaton', 'isolation'],
  ['ISOLATION', 'isolation'],
  ['notin', 'notIn'],
  ['allwo', 'allow'],
  ['moedls', 'models'],
  ['lable', 'labels'],
])('takes %s for %s', (word, meant) => {
  expect(closest(word, ['isolation', 'notIn', 'allow', 'models', 'labels', 'in'])).toBe(meant);
});

it.each(['', 'x', 'banana', 'isolationisms', 'ab', 'i'.repeat(65), ' '.repeat(1_000_000)])(
  'takes %j for nothing',
  (word) => {
    expect(closest(word, ['isolation', 'in', 'models'])).toBeUndefined();
  },
);

it('prefers the nearer of two, and never turns all of a word into another', () => {
  expect(closest('lables', ['tables', 'labels'])).toBe('tables');
  expect(closest('xy', ['in'])).toBeUndefined();
});

it('only suggests what is known, within two edits of its length', () => {
  fc.assert(
    fc.property(fc.string(), fc.array(fc.string(), { maxLength: 5 }), (word, known) => {
      const found = closest(word, known);
      if (found === undefined) return;
      expect(known).toContain(found);
      expect(Math.abs(found.length - word.length)).toBeLessThanOrEqual(2);
    }),
  );
});

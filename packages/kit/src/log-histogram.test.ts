import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { LOG_BUCKETS, LogHistogram } from './log-histogram.ts';

const durations = fc.array(fc.double({ min: 1, max: 800_000, noNaN: true }), { minLength: 1, maxLength: 200 });
const parts = fc.constantFrom(0.01, 0.5, 0.95, 1);

/** A quarter of an octave, and its middle: at most half of that away. */
const MOST_OFF = 2 ** (1 / 8);

test('a quantile is that of the values themselves, within 9 %, however they were spread over processes', () => {
  fc.assert(
    fc.property(durations, fc.nat(), parts, (values, split, part) => {
      const whole = new LogHistogram();
      const pieces = [new LogHistogram(), new LogHistogram(), new LogHistogram()];
      for (const [index, value] of values.entries()) pieces[(index * (split + 1)) % 3]?.add(value);
      for (const piece of pieces) whole.merge(piece.sparse());
      const sorted = [...values].sort((a, b) => a - b);
      const exact = sorted[Math.max(0, Math.ceil(part * values.length) - 1)] ?? 0;
      const found = whole.quantileMs(part) ?? 0;
      expect(found / exact).toBeLessThanOrEqual(MOST_OFF * 1.000_001);
      expect(exact / found).toBeLessThanOrEqual(MOST_OFF * 1.000_001);
    }),
  );
});

test('nothing is null; what is too short or too long is in the first or last bucket, and what is no bucket is left out', () => {
  const histogram = new LogHistogram();
  expect(histogram.quantileMs(0.5)).toBeNull();
  histogram.add(0);
  histogram.add(1e12);
  histogram.merge([
    [LOG_BUCKETS, 5],
    [-1, 5],
  ]);
  expect(histogram.sparse()).toEqual([
    [0, 1],
    [LOG_BUCKETS - 1, 1],
  ]);
});

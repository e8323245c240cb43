import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PeakEwma } from './peak-ewma.ts';

const seen = fc.array(fc.record({ latencyMs: fc.integer({ min: 1, max: 10_000 }), afterMs: fc.nat(20_000) }), {
  minLength: 1,
  maxLength: 50,
});

test('it jumps to a peak at once, never below what was just seen, and never above the highest', () => {
  fc.assert(
    fc.property(seen, (values) => {
      const ewma = new PeakEwma();
      let nowMs = 0;
      let highest = 0;
      for (const { latencyMs, afterMs } of values) {
        nowMs += afterMs;
        const before = ewma.at(nowMs);
        ewma.observe(latencyMs, nowMs);
        highest = Math.max(highest, latencyMs);
        if (latencyMs >= before) expect(ewma.at(nowMs)).toBe(latencyMs);
        else expect(ewma.at(nowMs)).toBeGreaterThanOrEqual(before);
        expect(ewma.at(nowMs)).toBeLessThanOrEqual(highest + 1e-6);
        expect(ewma.at(nowMs + afterMs)).toBeLessThanOrEqual(ewma.at(nowMs));
      }
    }),
  );
});

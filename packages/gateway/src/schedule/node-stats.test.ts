import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NodeStats } from './node-stats.ts';

const engine = fc.record({
  models: fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1 }),
  running: fc.nat(50),
  waiting: fc.nat(50),
  kvCacheUsed: fc.constant(null),
});

test('what engines run is summed over engines, however many models they share', () => {
  fc.assert(
    fc.property(fc.array(engine, { minLength: 1, maxLength: 5 }), (engines) => {
      const stats = new NodeStats();
      stats.reported(engines, 0);
      const total = (what: 'running' | 'waiting'): number => engines.reduce((sum, one) => sum + one[what], 0);
      expect(stats.summary(0)).toMatchObject({ engineRunning: total('running'), engineWaiting: total('waiting') });
    }),
  );
});

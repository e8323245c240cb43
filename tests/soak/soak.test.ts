/**
 * Five minutes of `npm run soak`: the same network, load and verdict, at a rate that leaves the machine to the other tests. What only the
 * hour can tell from noise is left to it; that leaks of the usual size are found is shown by the planted one.
 */
import { expect, test } from 'vitest';
import { table } from './report.ts';
import { soak } from './soak.ts';

test('heap, sockets and timers are flat under mixed load, every answer is right and counted once, and a planted leak is found', async () => {
  const soaked = await soak({ minutes: 5, seed: 20_261_125, perSecond: 20, sampleEveryMs: 8_000 });
  expect(soaked.faults).toEqual([]);
  expect(soaked.missed, table(soaked)).toEqual([]);
  expect(soaked.leaks, table(soaked)).toEqual([]);
  expect(soaked.abandoned).toBeGreaterThan(soaked.requests * 0.07);
  expect(soaked.backgroundRounds).toBeGreaterThan(50);
}, 1_800_000);

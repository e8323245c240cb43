import { describe, expect, test } from 'vitest';
import { Chance } from '../hostile/chance.ts';
import { type Point, growthOf } from './flatness.ts';
import type { InUse } from './sampling.ts';
import { ALLOWED, MEASURES, type Measure, type Sample, judge } from './verdict.ts';

const SEEDS = Array.from({ length: 200 }, (_, seed) => seed);
const SAMPLES = 20;
const REQUESTS_BETWEEN = 250;

/** Noise of either sign, most of it small. */
function noise(chance: Chance): number {
  return (chance.unit() + chance.unit() + chance.unit() - 1.5) / 1.5;
}

function series(seed: number, valueAt: (requests: number, chance: Chance) => number): Point[] {
  const chance = new Chance(seed);
  return Array.from({ length: SAMPLES }, (_, index) => {
    const x = (index + 1) * REQUESTS_BETWEEN + chance.below(100);
    return { x, y: valueAt(x, chance) };
  });
}

describe('the trend', () => {
  test('its interval holds what a series really grew, for nearly all noise', () => {
    for (const perRequest of [0, 0.5, -0.5]) {
      const held = SEEDS.filter((seed) => {
        const points = series(seed, (x, chance) => 1_000 + perRequest * x + 300 * noise(chance));
        const real = perRequest * ((points.at(-1)?.x ?? 0) - (points[0]?.x ?? 0));
        const { atLeast, atMost } = growthOf(points);
        return atLeast <= real && real <= atMost;
      });
      expect(held.length).toBeGreaterThan(SEEDS.length * 0.97);
    }
  });

  test('outliers do not move it', () => {
    for (const seed of SEEDS) {
      const plain = series(seed, () => 1_000);
      const hit = plain.map((point, index) => (index % 7 === seed % 7 ? { ...point, y: 1_000_000 } : point));
      expect(growthOf(hit).grown).toBe(0);
    }
  });

  test('what does not change has grown by nothing, without doubt', () => {
    expect(growthOf(series(1, () => 7))).toEqual({ grown: 0, atLeast: 0, atMost: 0 });
  });
});

const BASE: InUse = {
  heapBytes: 30_000_000,
  bufferBytes: 5_000_000,
  residentBytes: 120_000_000,
  files: 40,
  sockets: 20,
  timers: 30,
  handles: 20,
  cpuMs: 0,
};

/** As processes at rest are seen to be: 100 KiB of noise in memory, one up or down in what is counted. */
function samples(seed: number, leaks: Partial<Record<Measure, number>>): readonly Sample[] {
  const chance = new Chance(seed);
  return Array.from({ length: SAMPLES * 2 }, (_, index) => {
    const requests = (index + 1) * REQUESTS_BETWEEN;
    const used = Object.fromEntries(
      MEASURES.map((measure) => {
        const amplitude = measure.endsWith('Bytes') ? 102_400 : 1;
        return [measure, Math.round(BASE[measure] + amplitude * noise(chance) + (leaks[measure] ?? 0) * requests)];
      }),
    );
    return { requests, inUse: new Map([['gateway', { ...BASE, ...used }]]) };
  });
}

describe('the verdict', () => {
  test('noise alone is flat', () => {
    for (const seed of SEEDS) expect(judge(samples(seed, {})).filter(({ verdict }) => verdict !== 'flat')).toEqual([]);
  });

  test.each([
    ['heapBytes', 256],
    ['bufferBytes', 512],
    ['timers', 1 / 200],
    ['sockets', 1 / 250],
    ['files', 1 / 250],
    ['handles', 1 / 250],
  ] as const)('%s: %d of each request is found', (measure, perRequest) => {
    for (const seed of SEEDS) {
      const found = judge(samples(seed, { [measure]: perRequest })).filter(({ verdict }) => verdict === 'leaks');
      expect(found.map((line) => line.measure)).toEqual([measure]);
    }
  });

  test('noise that could hide a leak is not called flat', () => {
    const chance = new Chance(5);
    const wild = samples(5, {}).map(({ requests, inUse }) => ({
      requests,
      inUse: new Map(
        [...inUse].map(([part, used]) => [part, { ...used, heapBytes: BASE.heapBytes * (1 + chance.unit()) }]),
      ),
    }));
    expect(judge(wild).find(({ measure }) => measure === 'heapBytes')?.verdict).not.toBe('flat');
    expect(ALLOWED.heapBytes.fixed).toBeLessThan(BASE.heapBytes);
  });
});

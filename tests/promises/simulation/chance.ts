/** Randomness with a seed: the same seed gives the same run, step by step. */
import { seeded } from '@subcloud/testkit/seeded';

export interface Chance {
  /** In [0, 1). */
  next(): number;
  /** True with this probability. */
  happens(probability: number): boolean;
  below(limit: number): number;
  of<Value>(values: readonly Value[]): Value | undefined;
  /** A key of `weights`, as likely as its weight says. */
  weighted<Key extends string>(weights: Readonly<Record<Key, number>>): Key;
}

export function createChance(seed: number): Chance {
  const next = seeded(seed);
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    next,
    below,
    happens: (probability) => next() < probability,
    of: (values) => values[below(values.length)],
    weighted(weights) {
      const entries = Object.entries(weights) as [keyof typeof weights, number][];
      let left = next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
      for (const [key, weight] of entries) {
        left -= weight;
        if (left < 0) return key;
      }
      throw new Error('there is nothing to choose from');
    },
  };
}

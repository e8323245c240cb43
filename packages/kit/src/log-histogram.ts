/**
 * Durations counted in buckets that each are a quarter of an octave: quantiles of any number of them, from any number of
 * processes, within 9 %, in 80 counts. What crosses a wire is the buckets that have any.
 */
export type SparseCounts = readonly (readonly [bucket: number, count: number])[];

export const LOG_BUCKETS = 80;
const PER_OCTAVE = 4;
/** Lower end of bucket 1; bucket 0 has all below it. The last one, from 873 s on, has all above. */
const FIRST_MS = 1;

export class LogHistogram {
  readonly #counts = new Float64Array(LOG_BUCKETS);

  add(ms: number): void {
    const bucket = ms < FIRST_MS ? 0 : 1 + Math.floor(Math.log2(ms / FIRST_MS) * PER_OCTAVE);
    const index = Math.min(LOG_BUCKETS - 1, bucket);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  merge(counts: SparseCounts): void {
    for (const [bucket, count] of counts)
      if (bucket >= 0 && bucket < LOG_BUCKETS) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
  }

  sparse(): [number, number][] {
    return [...this.#counts.entries()].filter(([, count]) => count > 0);
  }

  /** Of the value below which this part of all is, the geometric middle of its bucket; null where there is none. */
  quantileMs(part: number): number | null {
    const total = this.#counts.reduce((sum, count) => sum + count, 0);
    if (total === 0) return null;
    let below = 0;
    for (const [bucket, count] of this.#counts.entries()) {
      below += count;
      if (below >= part * total && count > 0)
        return bucket === 0 ? FIRST_MS / 2 : FIRST_MS * 2 ** ((bucket - 0.5) / PER_OCTAVE);
    }
    return null;
  }
}

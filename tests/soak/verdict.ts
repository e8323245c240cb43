/** What of a soak's samples is flat, and what is not: by part and by measure. */
import { type Growth, type Point, growthOf } from './flatness.ts';
import type { InUse } from './sampling.ts';

export interface Sample {
  readonly requests: number;
  readonly inUse: ReadonlyMap<string, InUse>;
}

export interface Line extends Growth {
  readonly part: string;
  readonly measure: Measure;
  readonly values: readonly number[];
  readonly allowed: number;
  /** `unsure`: noise hides more than what is allowed. */
  readonly verdict: 'flat' | 'leaks' | 'unsure';
}

const MIB = 1_048_576;
/**
 * How much each may grow in the window that is judged: a fixed part, for code that is still being compiled and pools that come
 * to their size, and a part for each 1,000 requests, which is below what any leak worth the name keeps.
 */
export const ALLOWED = {
  heapBytes: { fixed: MIB / 2, perThousand: 65_536 },
  bufferBytes: { fixed: MIB, perThousand: 65_536 },
  files: { fixed: 4, perThousand: 0.5 },
  sockets: { fixed: 4, perThousand: 0.5 },
  timers: { fixed: 4, perThousand: 0.5 },
  handles: { fixed: 4, perThousand: 0.5 },
} as const;
export type Measure = keyof typeof ALLOWED;
export const MEASURES = Object.keys(ALLOWED) as readonly Measure[];

/** The first samples are left out: code is compiled, caches and pools fill. */
export const WARM_UP_SHARE = 0.25;

export function judge(samples: readonly Sample[]): readonly Line[] {
  const from = Math.floor(samples.length * WARM_UP_SHARE);
  const judged = samples.slice(from);
  const requests = (judged.at(-1)?.requests ?? 0) - (judged[0]?.requests ?? 0);
  const parts = [...(judged[0]?.inUse.keys() ?? [])];
  return parts.flatMap((part) =>
    MEASURES.map((measure): Line => {
      const valueOf = (sample: Sample): number => sample.inUse.get(part)?.[measure] ?? Number.NaN;
      const points: Point[] = judged.map((sample) => ({ x: sample.requests, y: valueOf(sample) }));
      const growth = growthOf(points);
      const { fixed, perThousand } = ALLOWED[measure];
      const allowed = fixed + (perThousand * requests) / 1_000;
      return { part, measure, values: samples.map(valueOf), ...growth, allowed, verdict: verdictOf(growth, allowed) };
    }),
  );
}

function verdictOf({ grown, atMost }: Growth, allowed: number): Line['verdict'] {
  if (grown > allowed) return 'leaks';
  return atMost > allowed ? 'unsure' : 'flat';
}

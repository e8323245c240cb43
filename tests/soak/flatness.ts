/**
 * Whether a series is flat. The trend is the Theil–Sen estimate, the median of the slopes between all pairs of points, with
 * its distribution-free interval (Sen 1968; variance with ties as in Gilbert 1987, chapter 16): neither a single outlier nor
 * the shape of the noise moves it. What counts is how much the series grew over the window by that trend, against how much it may.
 */
export interface Point {
  /** Requests until then. */
  readonly x: number;
  readonly y: number;
}

export interface Growth {
  /** By the trend, from the first point to the last. */
  readonly grown: number;
  /** The ends of its interval, of 99 %. */
  readonly atLeast: number;
  readonly atMost: number;
}

/** Of the normal distribution, for 99 % on both sides. */
const Z = 2.5758;
export const MIN_POINTS = 8;

/** Throws RangeError for fewer than `MIN_POINTS`. Points in order of x, which grows from each to the next. */
export function growthOf(points: readonly Point[]): Growth {
  const first = points[0];
  const last = points.at(-1);
  if (first === undefined || last === undefined || points.length < MIN_POINTS)
    throw new RangeError(`${points.length} points are too few to tell a trend`);
  const slopes: number[] = [];
  for (const [index, from] of points.entries())
    for (const to of points.slice(index + 1)) slopes.push((to.y - from.y) / (to.x - from.x));
  slopes.sort((a, b) => a - b);
  const span = last.x - first.x;
  const spread = Z * Math.sqrt(varianceOf(points));
  const at = (rank: number): number =>
    (slopes[Math.min(slopes.length - 1, Math.max(0, Math.round(rank)))] ?? Number.NaN) * span;
  return {
    grown: median(slopes) * span,
    atLeast: at((slopes.length - spread) / 2 - 1),
    atMost: at((slopes.length + spread) / 2),
  };
}

/** Of Kendall's S, with ties. */
function varianceOf(points: readonly Point[]): number {
  const term = (n: number): number => n * (n - 1) * (2 * n + 5);
  const groups = new Map<number, number>();
  for (const { y } of points) groups.set(y, (groups.get(y) ?? 0) + 1);
  let sum = term(points.length);
  for (const size of groups.values()) sum -= term(size);
  return sum / 18;
}

function median(sorted: readonly number[]): number {
  const middle = sorted.length / 2;
  const [below = Number.NaN, above = Number.NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return (below + above) / 2;
}

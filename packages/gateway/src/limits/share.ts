/**
 * The part of every limit that this gateway may hand out: an interval of [0, 1). Control gives gateways intervals that do
 * not overlap, so what they hand out together never passes a limit, also where it does not divide.
 */
import type { ShareInterval } from '@subcloud/contract/watch';

export const NO_SHARE: ShareInterval = { lo: 0, hi: 0 };

/** Whole requests or tokens. Over intervals side by side the parts add up to exactly the whole. */
export function partOf(limit: number, { lo, hi }: ShareInterval): number {
  return Math.floor(limit * hi) - Math.floor(limit * lo);
}

export function sameShare(a: ShareInterval, b: ShareInterval): boolean {
  return a.lo === b.lo && a.hi === b.hi;
}

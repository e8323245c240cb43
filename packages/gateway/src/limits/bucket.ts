/**
 * A token bucket that holds one minute's worth. Counted in units of 1/60,000 of a request or token, so that what a
 * millisecond brings is a whole number, and nothing is ever rounded.
 */
export const UNITS = 60_000;

export interface Bucket {
  /** A minute's worth; whole. */
  perMinute: number;
  /** Units; below zero where more was used than had been reserved. */
  level: number;
  /** Monotonic, whole ms. */
  atMs: number;
}

/** `filledForMs`: how long the bucket has been filling before anybody asked; a minute or more is full. */
export function newBucket(perMinute: number, nowMs: number, filledForMs: number): Bucket {
  return { perMinute, level: perMinute * Math.min(UNITS, Math.max(0, Math.floor(filledForMs))), atMs: nowMs };
}

/** Brings it to this moment and this size. A size that grows brings nothing but room. */
export function refill(bucket: Bucket, perMinute: number, nowMs: number): void {
  const elapsedMs = Math.max(0, nowMs - bucket.atMs);
  bucket.level = Math.min(bucket.perMinute * UNITS, bucket.level + elapsedMs * bucket.perMinute, perMinute * UNITS);
  bucket.perMinute = perMinute;
  bucket.atMs = Math.max(bucket.atMs, nowMs);
}

export function holds(bucket: Bucket, amount: number): boolean {
  return bucket.level >= amount * UNITS;
}

/** `amount` may be negative: gives back, never beyond full. */
export function take(bucket: Bucket, amount: number): void {
  bucket.level = Math.min(bucket.perMinute * UNITS, bucket.level - amount * UNITS);
}

/** Ms until it holds `amount`; Infinity where it never will. */
export function waitMs(bucket: Bucket, amount: number): number {
  if (holds(bucket, amount)) return 0;
  if (amount > bucket.perMinute) return Infinity;
  return Math.ceil((amount * UNITS - bucket.level) / bucket.perMinute);
}

/** What is counted under one key: a token, a caller in a pool, or a pool. */
import type { LimitName, LimitSet } from '@subcloud/contract/vocabulary';
import type { ShareInterval } from '@subcloud/contract/watch';
import { type Bucket, UNITS, holds, newBucket, refill, take, waitMs } from './bucket.ts';
import { partOf } from './share.ts';

export const DAY_MS = 86_400_000;
/** When to come again where only the end of another request helps. */
const BUSY_WAIT_MS = 1_000;

export interface Terms {
  readonly share: ShareInterval;
  /** At the same time no more than this share allows too. */
  readonly narrowed: ShareInterval | undefined;
  /** How long a bucket that nobody has asked has been filling. */
  readonly filledForMs: number;
  /** Monotonic, whole ms. */
  readonly nowMs: number;
  readonly atMs: number;
  readonly day: number;
}

export class Counter {
  #limits: LimitSet = {};
  #requests: Bucket | undefined;
  #tokens: Bucket | undefined;
  #inFlight = 0;
  #day = -1;
  /** Used of the day by everybody before `#settled` began to count. */
  #base = 0;
  #settled = 0;
  #reserved = 0;

  /** Brings it to this moment, these limits and this share. `base` is asked once a day. */
  refresh(limits: LimitSet, terms: Terms, base: () => number): void {
    const { share, nowMs, filledForMs, day } = terms;
    this.#limits = limits;
    this.#requests = refreshed(this.#requests, limits.requestsPerMinute, share, nowMs, filledForMs);
    this.#tokens = refreshed(this.#tokens, limits.tokensPerMinute, share, nowMs, filledForMs);
    if (limits.tokensPerDay === undefined || this.#day === day) return;
    this.#day = day;
    this.#base = base();
    this.#settled = 0;
    this.#reserved = 0;
  }

  /** The first limit that the request would pass; undefined: none. After `refresh`. */
  check(tokens: number, terms: Terms): { readonly limit: LimitName; readonly waitMs: number } | undefined {
    const { concurrent, tokensPerDay } = this.#limits;
    const { share, narrowed = share, atMs, day } = terms;
    if (concurrent !== undefined) {
      const most = Math.min(partOf(concurrent, share), partOf(concurrent, narrowed));
      if (this.#inFlight >= most) return { limit: 'concurrent', waitMs: BUSY_WAIT_MS };
    }
    if (this.#requests !== undefined && !holds(this.#requests, 1))
      return { limit: 'requestsPerMinute', waitMs: waitMs(this.#requests, 1) };
    if (this.#tokens !== undefined && !holds(this.#tokens, tokens))
      return { limit: 'tokensPerMinute', waitMs: waitMs(this.#tokens, tokens) };
    if (tokensPerDay === undefined) return undefined;
    const mine = Math.floor(Math.max(0, tokensPerDay - this.#base) * (share.hi - share.lo));
    if (this.#settled + this.#reserved + tokens <= mine) return undefined;
    const never = tokens > tokensPerDay;
    return { limit: 'tokensPerDay', waitMs: never ? Infinity : (day + 1) * DAY_MS - atMs };
  }

  take(tokens: number): void {
    this.#inFlight += 1;
    if (this.#requests !== undefined) take(this.#requests, 1);
    if (this.#tokens !== undefined) take(this.#tokens, tokens);
    this.#reserved += tokens;
  }

  settle(reserved: number, used: number, day: number, nowMs: number): void {
    this.#inFlight -= 1;
    if (this.#tokens !== undefined) {
      refill(this.#tokens, this.#tokens.perMinute, nowMs);
      take(this.#tokens, used - reserved);
    }
    if (this.#day !== day) return;
    this.#reserved -= reserved;
    this.#settled += used;
  }

  /** Whether what is under way fits the share. */
  fits(share: ShareInterval): boolean {
    const { concurrent } = this.#limits;
    return concurrent === undefined || this.#inFlight <= partOf(concurrent, share);
  }

  /** Own use of the day since the base. */
  settledOf(day: number): number {
    return this.#day === day ? this.#settled : 0;
  }

  /** `included`: what of the own use the new base holds. */
  rebase(day: number, base: number, included: number): void {
    if (this.#day !== day) return;
    this.#base = base;
    this.#settled -= included;
  }

  /** Nobody knows any more what its buckets hold. */
  forgetBuckets(): void {
    this.#requests = undefined;
    this.#tokens = undefined;
  }

  level(what: 'requests' | 'tokens'): { readonly remaining: number; readonly resetMs: number } | undefined {
    const bucket = what === 'requests' ? this.#requests : this.#tokens;
    if (bucket === undefined) return undefined;
    return { remaining: Math.max(0, Math.floor(bucket.level / UNITS)), resetMs: waitMs(bucket, bucket.perMinute) };
  }

  /** Whether a new one would say the same. After `refresh`. */
  get idle(): boolean {
    const full = (bucket: Bucket | undefined): boolean =>
      bucket === undefined || bucket.level >= bucket.perMinute * UNITS;
    return this.#inFlight === 0 && full(this.#requests) && full(this.#tokens) && this.#settled + this.#reserved === 0;
  }

  get limits(): LimitSet {
    return this.#limits;
  }
}

function refreshed(
  bucket: Bucket | undefined,
  limit: number | undefined,
  share: ShareInterval,
  nowMs: number,
  filledForMs: number,
): Bucket | undefined {
  if (limit === undefined) return undefined;
  const perMinute = partOf(limit, share);
  if (bucket === undefined) return newBucket(perMinute, nowMs, filledForMs);
  refill(bucket, perMinute, nowMs);
  return bucket;
}

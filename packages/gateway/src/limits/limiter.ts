/**
 * Limits of requests and tokens, in memory alone. A request is admitted under all of its scopes or under none, in one
 * turn; tokens are reserved then and settled when the request ends. All that this gateway hands out lies inside its share
 * of each limit (share.ts); without a share whoever has limits is refused.
 */
import { AppError } from '@subcloud/contract/errors';
import type { CredentialRow, PoolRow } from '@subcloud/contract/table';
import type { LimitName } from '@subcloud/contract/vocabulary';
import type { ShareInterval } from '@subcloud/contract/watch';
import { Counter, DAY_MS, type Terms } from './counter.ts';
import { type LimitedScope, limitedScopes } from './limited-scopes.ts';
import { NO_SHARE } from './share.ts';

export interface Moment {
  /** Monotonic. */
  readonly nowMs: number;
  /** Wall clock, as the usage record of the request will say. */
  readonly atMs: number;
}

/** What a request took; given back by `settle`, once. */
export interface Ticket {
  readonly scopes: readonly LimitedScope[];
  /** Reserved when it was admitted. */
  readonly tokens: number;
  readonly day: number;
  /** Limits in dry run that would have refused it. */
  readonly over: readonly string[];
  settled: boolean;
}

export interface OverLimit {
  readonly scope: LimitedScope;
  readonly limit: LimitName;
  /** Until it would be admitted; Infinity where never. */
  readonly waitMs: number;
}

export type LimitVerdict =
  | { readonly ok: true; readonly ticket: Ticket }
  | { readonly ok: false; readonly over: OverLimit };

/** What is left of the tightest of the caller's own scopes. */
export interface Remaining {
  readonly limit: number;
  readonly remaining: number;
  /** Until all of it is there again. */
  readonly resetMs: number;
}

/** What of a day has been used by everybody, by key. */
export interface DayBases {
  readonly day: number;
  readonly used: ReadonlyMap<string, number>;
  /** What of the own use `used` holds, by key. */
  readonly included: ReadonlyMap<string, number>;
}

const NO_BASES: DayBases = { day: -1, used: new Map(), included: new Map() };

export class Limiter {
  readonly #counters = new Map<string, Counter>();
  #share: ShareInterval = NO_SHARE;
  #narrowed: ShareInterval | undefined;
  /** Since when buckets that nobody has asked are filling. Monotonic. */
  #fillingSinceMs = 0;
  #bases: DayBases = NO_BASES;

  get share(): ShareInterval {
    return this.#share;
  }

  /** Throws `platform.starting` where it has no share of the limits that the request stands under. */
  admit(pool: PoolRow, credential: CredentialRow, tokens: number, moment: Moment): LimitVerdict {
    const scopes = limitedScopes(pool, credential);
    const terms = this.#terms(moment);
    if (scopes.length === 0) return { ok: true, ticket: ticketOf([], tokens, terms.day, []) };
    if (scopes.some(({ dryRun }) => !dryRun) && this.#share.hi <= this.#share.lo) {
      const message = 'This gateway has no share of the limits yet.';
      throw new AppError('platform.starting', { message, retryAfterS: 1 });
    }
    const over: string[] = [];
    for (const scope of scopes) {
      const refusal = this.#counter(scope, terms).check(tokens, terms);
      if (refusal === undefined) continue;
      if (!scope.dryRun) return { ok: false, over: { scope, ...refusal } };
      over.push(`${scope.kind} ${refusal.limit}`);
    }
    // What a dry run would refuse takes nothing of its limits, as it would not have been there.
    const taken = over.length === 0 ? scopes : scopes.filter(({ dryRun }) => !dryRun);
    for (const { key } of taken) this.#counters.get(key)?.take(tokens);
    return { ok: true, ticket: ticketOf(taken, tokens, terms.day, over) };
  }

  /** `used`: tokens of the answer; none where nothing was sent. Idempotent. */
  settle(ticket: Ticket, used: number, nowMs: number): void {
    if (ticket.settled) return;
    ticket.settled = true;
    for (const { key } of ticket.scopes)
      this.#counters.get(key)?.settle(ticket.tokens, used, ticket.day, Math.floor(nowMs));
  }

  /** For the headers of a caller's answers; undefined where none of its own scopes limits this. */
  remaining(
    pool: PoolRow,
    credential: CredentialRow,
    what: 'requests' | 'tokens',
    moment: Moment,
  ): Remaining | undefined {
    let tightest: Remaining | undefined;
    for (const scope of limitedScopes(pool, credential)) {
      const limit = what === 'requests' ? scope.limits.requestsPerMinute : scope.limits.tokensPerMinute;
      if (limit === undefined || scope.kind === 'total') continue;
      const level = this.#counter(scope, this.#terms(moment)).level(what);
      if (level === undefined || (tightest !== undefined && level.remaining >= tightest.remaining)) continue;
      tightest = { limit, ...level };
    }
    return tightest;
  }

  /** Hands out no more than this at the same time from now on; the share itself changes with `adopt`. */
  narrow(to: ShareInterval): void {
    this.#narrowed = to;
  }

  /** Whether all that is under way fits this share. */
  fits(share: ShareInterval): boolean {
    for (const counter of this.#counters.values()) if (!counter.fits(share)) return false;
    return true;
  }

  /** Goes by this share from now on. `filledForMs`: how long nobody has handed out any of what is new in it. */
  adopt(share: ShareInterval, filledForMs: number, bases: DayBases, moment: Moment): void {
    const had = this.#share;
    const inside = had.hi > had.lo && share.lo >= had.lo && share.hi <= had.hi;
    const sinceMs = moment.nowMs - filledForMs;
    if (!inside) this.#fillingSinceMs = had.hi > had.lo ? Math.max(this.#fillingSinceMs, sinceMs) : sinceMs;
    this.#share = share;
    this.#narrowed = undefined;
    this.#bases = bases;
    const terms = this.#terms(moment);
    for (const [key, counter] of this.#counters) {
      counter.rebase(bases.day, bases.used.get(key) ?? 0, bases.included.get(key) ?? 0);
      counter.refresh(counter.limits, terms, () => this.#base(key, terms.day));
    }
  }

  /** The right to the share has ended: it hands out nothing, and what its buckets hold others may use up. */
  drop(): void {
    this.#share = NO_SHARE;
    this.#narrowed = undefined;
    for (const counter of this.#counters.values()) counter.forgetBuckets();
  }

  /** Own use of the day, settled since its bases. */
  settledOf(day: number): ReadonlyMap<string, number> {
    return new Map([...this.#counters].map(([key, counter]) => [key, counter.settledOf(day)]));
  }

  /** Drops counters that say nothing that a new one would not say. */
  prune(moment: Moment): void {
    const terms = this.#terms(moment);
    if (terms.filledForMs < 60_000) return;
    for (const [key, counter] of this.#counters) {
      counter.refresh(counter.limits, terms, () => this.#base(key, terms.day));
      if (counter.idle) this.#counters.delete(key);
    }
  }

  get size(): number {
    return this.#counters.size;
  }

  #counter({ key, limits }: LimitedScope, terms: Terms): Counter {
    let counter = this.#counters.get(key);
    if (counter === undefined) {
      counter = new Counter();
      this.#counters.set(key, counter);
    }
    counter.refresh(limits, terms, () => this.#base(key, terms.day));
    return counter;
  }

  #base(key: string, day: number): number {
    return this.#bases.day === day ? (this.#bases.used.get(key) ?? 0) : 0;
  }

  #terms({ nowMs, atMs }: Moment): Terms {
    return {
      share: this.#share,
      narrowed: this.#narrowed,
      filledForMs: nowMs - this.#fillingSinceMs,
      nowMs: Math.floor(nowMs),
      atMs,
      day: Math.floor(atMs / DAY_MS),
    };
  }
}

function ticketOf(scopes: readonly LimitedScope[], tokens: number, day: number, over: readonly string[]): Ticket {
  return { scopes, tokens, day, over, settled: false };
}

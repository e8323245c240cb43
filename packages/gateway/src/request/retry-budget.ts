/**
 * How many further tries the requests of one pool may have together: a fifth of its requests, and ten a second besides.
 * Where most of a pool fails, each request tried three times would be three times the load on what is left of it.
 *
 * Source: Twitter Finagle, RetryBudget (a share of 20 %, ten a second, over ten seconds), as in Linkerd. Pure: time is told, in any order.
 */
const SHARE = 0.2;
const PER_SECOND = 10;
const KEPT_MS = 10_000;
const MOST_SPARE = (PER_SECOND * KEPT_MS) / 1_000;
/** Pools that are told apart; those that have been idle are forgotten first. */
const MAX_POOLS = 10_000;

interface Account {
  /** By the share; fades. */
  earned: number;
  /** By the clock. */
  spare: number;
  atMs: number;
}

export class RetryBudget {
  readonly #pools = new Map<string, Account>();

  /** A request of the pool has its first try. */
  sent(pool: string, nowMs: number): void {
    this.#at(pool, nowMs).earned += SHARE;
  }

  /** Whether it may have one more; that is then used. */
  take(pool: string, nowMs: number): boolean {
    const account = this.#at(pool, nowMs);
    if (account.earned >= 1) account.earned -= 1;
    else if (account.spare >= 1) account.spare -= 1;
    else return false;
    return true;
  }

  #at(pool: string, nowMs: number): Account {
    const known = this.#pools.get(pool);
    if (known === undefined) return this.#opened(pool, nowMs);
    const passedMs = Math.max(0, nowMs - known.atMs);
    known.earned *= Math.exp(-passedMs / KEPT_MS);
    known.spare = Math.min(MOST_SPARE, known.spare + (passedMs * PER_SECOND) / 1_000);
    // Whoever tells an earlier time must not have the span counted twice.
    known.atMs = Math.max(known.atMs, nowMs);
    return known;
  }

  #opened(pool: string, nowMs: number): Account {
    if (this.#pools.size >= MAX_POOLS)
      for (const [name, { atMs }] of this.#pools) if (nowMs - atMs > KEPT_MS) this.#pools.delete(name);
    if (this.#pools.size >= MAX_POOLS) this.#pools.clear();
    const account = { earned: 0, spare: MOST_SPARE, atMs: nowMs };
    this.#pools.set(pool, account);
    return account;
  }
}

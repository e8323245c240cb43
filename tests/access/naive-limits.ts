/**
 * Limits told as plainly as manifest.md tells them: one gateway that knows everything, fractions for time, a list of who
 * is under way. Written apart from the product; whole numbers are kept by multiplying with the milliseconds of a minute.
 */
export interface NaiveLimits {
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
  readonly concurrent?: number | undefined;
  readonly tokensPerDay?: number | undefined;
}
const MINUTE = 60_000n;

/** A minute's worth that drains by use and fills by time; in 1/60,000. */
class NaiveMinute {
  #level: bigint | undefined;
  #at = 0;
  #most = 0n;

  at(now: number, most: number): bigint {
    const full = BigInt(most) * MINUTE;
    if (this.#level === undefined) this.#level = full;
    else {
      const filled = this.#level + BigInt(now - this.#at) * this.#most;
      const bounded = filled < this.#most * MINUTE ? filled : this.#most * MINUTE;
      this.#level = bounded < full ? bounded : full;
    }
    this.#at = now;
    this.#most = BigInt(most);
    return this.#level;
  }

  use(amount: number): void {
    const left = (this.#level ?? 0n) - BigInt(amount) * MINUTE;
    this.#level = left < this.#most * MINUTE ? left : this.#most * MINUTE;
  }
}

export class NaiveCount {
  readonly #requests = new NaiveMinute();
  readonly #tokens = new NaiveMinute();
  #underWay = 0;
  readonly #days = new Map<number, number>();

  admits(limits: NaiveLimits, tokens: number, now: number, day: number): boolean {
    const { requestsPerMinute, tokensPerMinute, concurrent, tokensPerDay } = limits;
    let may = true;
    if (requestsPerMinute !== undefined && this.#requests.at(now, requestsPerMinute) < MINUTE) may = false;
    if (tokensPerMinute !== undefined && this.#tokens.at(now, tokensPerMinute) < BigInt(tokens) * MINUTE) may = false;
    if (concurrent !== undefined && this.#underWay >= concurrent) may = false;
    if (tokensPerDay !== undefined && (this.#days.get(day) ?? 0) + tokens > tokensPerDay) may = false;
    return may;
  }

  take(limits: NaiveLimits, tokens: number, day: number): void {
    if (limits.requestsPerMinute !== undefined) this.#requests.use(1);
    if (limits.tokensPerMinute !== undefined) this.#tokens.use(tokens);
    this.#underWay += 1;
    this.#days.set(day, (this.#days.get(day) ?? 0) + tokens);
  }

  end(limits: NaiveLimits, reserved: number, used: number, now: number, day: number): void {
    if (limits.tokensPerMinute !== undefined) {
      this.#tokens.at(now, limits.tokensPerMinute);
      this.#tokens.use(used - reserved);
    }
    this.#underWay -= 1;
    this.#days.set(day, (this.#days.get(day) ?? 0) + used - reserved);
  }
}

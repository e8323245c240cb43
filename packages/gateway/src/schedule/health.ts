/**
 * A gateway's own judgement of one thing that serves, seconds long: failures in a row, or half of the recent ones, and
 * it is ejected; after a while one request tries it (half open), and only its success lets it back, to a share that
 * grows (slow start). Each further ejection lasts longer. No state of a membership, and nothing is released by it.
 */
const CONSECUTIVE_FAILURES = 5;
/** Of what is remembered of the last RATE_MS or so. */
const FAILURE_RATE = 0.5;
const RATE_MIN_SAMPLES = 10;
const RATE_MS = 10_000;
export const EJECTION_MS = 5_000;
const MAX_EJECTION_MS = 60_000;
export const SLOW_START_MS = 20_000;
/** At its return a node looks this many times as loaded as it is. */
const SLOW_START_FACTOR = 10;

export class Health {
  #consecutive = 0;
  /** Decayed counts. */
  #failures = 0;
  #samples = 0;
  #countedMs = 0;
  #ejections = 0;
  /** Until then it is out; after it, half open. Undefined while it is in. */
  #untilMs: number | undefined;
  #trial = false;
  #returnedMs = Number.NEGATIVE_INFINITY;

  /** Whether a request may be sent there for its own sake. Half open: one at a time. */
  healthy(nowMs: number): boolean {
    return this.#untilMs === undefined || (nowMs >= this.#untilMs && !this.#trial);
  }

  get ejected(): boolean {
    return this.#untilMs !== undefined;
  }

  sent(nowMs: number): void {
    if (this.#untilMs !== undefined && nowMs >= this.#untilMs) this.#trial = true;
  }

  succeeded(nowMs: number): void {
    this.#count(0, nowMs);
    this.#consecutive = 0;
    this.#trial = false;
    // A success of what was sent before the ejection, or for want of better nodes, is no trial.
    if (this.#untilMs === undefined || nowMs < this.#untilMs) return;
    this.#untilMs = undefined;
    this.#returnedMs = nowMs;
    this.#failures = 0;
    this.#samples = 0;
  }

  failed(nowMs: number): void {
    this.#count(1, nowMs);
    this.#consecutive += 1;
    this.#trial = false;
    if (this.#untilMs !== undefined) {
      if (nowMs >= this.#untilMs) this.#eject(nowMs);
      return;
    }
    const often = this.#samples >= RATE_MIN_SAMPLES && this.#failures >= FAILURE_RATE * this.#samples;
    if (often || this.#consecutive >= CONSECUTIVE_FAILURES) this.#eject(nowMs);
  }

  /** It said nothing of the node: the caller left, or the fault was the caller's. */
  unjudged(): void {
    this.#trial = false;
  }

  /** 1 for one that is in, more for one that has just come back. */
  loadFactor(nowMs: number): number {
    const backMs = nowMs - this.#returnedMs;
    return backMs >= SLOW_START_MS ? 1 : SLOW_START_FACTOR ** (1 - Math.max(0, backMs) / SLOW_START_MS);
  }

  #eject(nowMs: number): void {
    // Whoever has been well for long starts anew.
    if (this.#untilMs === undefined && nowMs - this.#returnedMs > MAX_EJECTION_MS * 2) this.#ejections = 0;
    this.#untilMs = nowMs + Math.min(MAX_EJECTION_MS, EJECTION_MS * 2 ** Math.min(this.#ejections, 10));
    this.#ejections += 1;
    this.#consecutive = 0;
  }

  #count(failed: 0 | 1, nowMs: number): void {
    const keep = Math.exp(-Math.max(0, nowMs - this.#countedMs) / RATE_MS);
    this.#failures = this.#failures * keep + failed;
    this.#samples = this.#samples * keep + 1;
    this.#countedMs = nowMs;
  }
}

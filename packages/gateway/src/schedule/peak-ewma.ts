/**
 * Latency as Finagle's and Linkerd's peak-EWMA see it: an exponentially weighted moving average by time that jumps up at
 * once and comes down slowly, so that a node that slows down is avoided after one answer. Between answers it decays, so
 * that a node that was slow is tried again some time later.
 *
 * Source: Twitter Finagle, PeakEwma (2015); the decay time is Linkerd's default.
 */
const DECAY_MS = 10_000;

export class PeakEwma {
  #valueMs = 0;
  #atMs = Number.NEGATIVE_INFINITY;

  /** Whether anything was ever seen. */
  get known(): boolean {
    return this.#atMs !== Number.NEGATIVE_INFINITY;
  }

  observe(latencyMs: number, nowMs: number): void {
    const before = this.at(nowMs);
    const weight = Math.exp(-Math.max(0, nowMs - this.#atMs) / DECAY_MS);
    // `before` has decayed already: what is left of the old average is its share, the rest is new.
    this.#valueMs = latencyMs >= before ? latencyMs : before + latencyMs * (1 - weight);
    this.#atMs = nowMs;
  }

  /** What was before counts no more: the thing that was slow is not the same any more. */
  restart(latencyMs: number, nowMs: number): void {
    this.#valueMs = latencyMs;
    this.#atMs = nowMs;
  }

  /** Zero where nothing was ever seen. */
  at(nowMs: number): number {
    return this.known ? this.#valueMs * Math.exp(-Math.max(0, nowMs - this.#atMs) / DECAY_MS) : 0;
  }
}

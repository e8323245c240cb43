/**
 * How fast places come free: what is under way divided by how long answers take (Little's law), measured. It holds from
 * the first full moment on, whatever the load was before. Where nothing has come free for longer than that would take,
 * the silence counts: a pool whose nodes hang drains slowly, however fast it was.
 */

/** Weight of the newest answer in how long they take. */
const NEWEST = 0.1;

export class DrainRate {
  #inFlight = 0;
  /** Null: none has ended yet. */
  #meanMs: number | null = null;
  /** Since when nothing has come free while something was under way. */
  #quietSinceMs = 0;

  get inFlight(): number {
    return this.#inFlight;
  }

  started(nowMs: number): void {
    if (this.#inFlight === 0) this.#quietSinceMs = nowMs;
    this.#inFlight += 1;
  }

  ended(tookMs: number, nowMs: number): void {
    this.#inFlight -= 1;
    this.#quietSinceMs = nowMs;
    this.#meanMs = this.#meanMs === null ? tookMs : this.#meanMs + NEWEST * (tookMs - this.#meanMs);
  }

  /** Milliseconds from one place that comes free to the next; undefined where nothing tells. */
  everyMs(nowMs: number): number | undefined {
    if (this.#inFlight === 0) return undefined;
    const quietMs = nowMs - this.#quietSinceMs;
    return this.#meanMs === null ? quietMs : Math.max(this.#meanMs / this.#inFlight, quietMs);
  }
}

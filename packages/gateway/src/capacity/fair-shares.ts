/**
 * Who is next, by what each has used: start-time fair queueing over virtual counters (Goyal, Vin and Cheng 1996; for
 * language models Sheng et al., "Fairness in Serving Large Language Models", 2024). What is counted is the time that a
 * place at a node was held, since that is what others waited for: a caller with a few long answers and one with many
 * short ones get the same. A start is charged with what the key's requests took so far, and corrected at its end. Who
 * comes after a pause starts where the others are: nobody saves up, and nobody pays for what it used alone.
 *
 * Pure: time is told. Bounded: see MAX_IDLE.
 */

/** Keys that hold nothing and wait for nothing are remembered while they are ahead of the others, and at most so many. */
const MAX_IDLE = 4_096;
/** A key's first request is taken for this long. */
const FIRST_MS = 1_000;
/** Weight of the newest in what a key's requests take. */
const NEWEST = 0.25;

interface Counter {
  /** Virtual: place-milliseconds that the key is ahead. */
  usedMs: number;
  meanMs: number;
  inFlight: number;
  waiting: number;
}

export interface Charge {
  readonly key: string;
  readonly startedMs: number;
  readonly estimatedMs: number;
}

export class FairShares {
  readonly #counters = new Map<string, Counter>();
  /** Requests of all keys that hold a place or wait for one. */
  #underWay = 0;
  /** Where the key was that started last; never goes back. */
  #frontMs = 0;

  /** The lesser, the sooner is its turn. */
  position(key: string): number {
    return this.#counters.get(key)?.usedMs ?? this.#frontMs;
  }

  /** One of its requests waits from now on. */
  waits(key: string): void {
    this.#active(key).waiting += 1;
    this.#underWay += 1;
  }

  /** It waits no more: it starts now, or is gone. */
  waitsNoMore(key: string): void {
    const counter = this.#counters.get(key);
    if (counter === undefined) return;
    counter.waiting -= 1;
    this.#underWay -= 1;
    this.#forgetEven(key, counter);
  }

  started(key: string, nowMs: number): Charge {
    const counter = this.#active(key);
    this.#frontMs = Math.max(this.#frontMs, counter.usedMs);
    const estimatedMs = counter.meanMs;
    counter.usedMs += estimatedMs;
    counter.inFlight += 1;
    this.#underWay += 1;
    return { key, startedMs: nowMs, estimatedMs };
  }

  /** Once for each charge. */
  ended({ key, startedMs, estimatedMs }: Charge, nowMs: number): void {
    const counter = this.#counters.get(key);
    if (counter === undefined) return;
    const tookMs = Math.max(0, nowMs - startedMs);
    counter.usedMs += tookMs - estimatedMs;
    counter.meanMs += NEWEST * (tookMs - counter.meanMs);
    counter.inFlight -= 1;
    this.#underWay -= 1;
    this.#forgetEven(key, counter);
  }

  get size(): number {
    return this.#counters.size;
  }

  get idle(): boolean {
    return this.#underWay === 0;
  }

  /** Who had nothing under way comes in where the others are. */
  #active(key: string): Counter {
    let counter = this.#counters.get(key);
    if (counter === undefined) {
      if (this.#counters.size >= MAX_IDLE) this.#forgetIdle();
      counter = { usedMs: this.#frontMs, meanMs: FIRST_MS, inFlight: 0, waiting: 0 };
      this.#counters.set(key, counter);
    } else if (isIdle(counter)) counter.usedMs = Math.max(counter.usedMs, this.#frontMs);
    return counter;
  }

  #forgetEven(key: string, counter: Counter): void {
    if (isIdle(counter) && counter.usedMs <= this.#frontMs) this.#counters.delete(key);
  }

  #forgetIdle(): void {
    for (const [key, counter] of this.#counters) if (isIdle(counter)) this.#counters.delete(key);
  }
}

function isIdle({ inFlight, waiting }: Counter): boolean {
  return inFlight === 0 && waiting === 0;
}

/**
 * The clock of one party: time passes for all alike, but each wall clock shows something else and may be set, and of a
 * process that is stopped no timer fires before it goes on.
 */
import type { Clock, Timer } from '@subcloud/kit/clock';

export class PartyClock implements Clock {
  readonly #base: Clock;
  #offsetMs: number;
  #isStopped = false;
  #isGone = false;
  #missed: (() => void)[] = [];
  readonly #timers = new Set<Timer>();

  constructor(base: Clock, offsetMs = 0) {
    this.#base = base;
    this.#offsetMs = offsetMs;
  }

  /** What its wall clock shows more than the true time, ms. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Somebody sets the wall clock. */
  set(offsetMs: number): void {
    this.#offsetMs = offsetMs;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  stop(): void {
    this.#isStopped = true;
  }

  goOn(): void {
    this.#isStopped = false;
    for (const task of this.#missed.splice(0)) this.#run(task);
  }

  /** The process is gone, and its timers with it. */
  end(): void {
    this.#isGone = true;
    this.#missed = [];
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  nowMs(): number {
    return this.#base.nowMs() + this.#offsetMs;
  }

  monotonicMs(): number {
    return this.#base.monotonicMs();
  }

  after(delayMs: number, task: () => void): Timer {
    const timer = this.#base.after(delayMs, () => {
      this.#timers.delete(timer);
      this.#run(task);
    });
    return this.#kept(timer, task);
  }

  every(periodMs: number, task: () => void): Timer {
    return this.#kept(
      this.#base.every(periodMs, () => this.#run(task)),
      task,
    );
  }

  #kept(timer: Timer, task: () => void): Timer {
    const kept: Timer = {
      cancel: () => {
        timer.cancel();
        this.#timers.delete(timer);
        this.#missed = this.#missed.filter((missed) => missed !== task);
      },
    };
    this.#timers.add(timer);
    return kept;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return this.#base.sleep(delayMs, signal);
  }

  #run(task: () => void): void {
    if (this.#isGone) return;
    // A timer that is due many times while its process is stopped fires once.
    if (!this.#isStopped) task();
    else if (!this.#missed.includes(task)) this.#missed.push(task);
  }
}

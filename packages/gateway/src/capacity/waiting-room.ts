/**
 * Where requests wait while every node that may serve them has as many as it takes. Bounded a pool, with a deadline, in
 * fair turns (`fair-queue.ts`). A turn lets one request look for a place again, by the table and the links of that
 * moment; the next turn comes when that one has told what it found. Nothing is promised with a turn, so nothing that
 * was withdrawn meanwhile can be used by who waited.
 *
 * Who cannot be served in time is told at once and not at its deadline, with when it may come again, as measured. A
 * caller that goes away leaves at once. Nothing here survives the process.
 */
import { AppError } from '@subcloud/contract/errors';
import type { Clock, Timer } from '@subcloud/kit/clock';
import type { Cancellation } from '../request/cancellation.ts';
import { DrainRate } from './drain-rate.ts';
import { FairQueue, type PlaceCharge, type Waiter, classKey } from './fair-queue.ts';

/** While somebody waits it is looked this often for deadlines, and for what no event tells: a link, a lease, an agent's word. */
const LOOK_MS = 100;
/** What a caller is told to wait, whatever was measured. */
const MIN_RETRY_S = 1;
const MAX_RETRY_S = 120;
/** Pools whose rates are kept while nothing of theirs is under way. */
const MAX_RATES = 10_000;

export interface QueueBounds {
  /** Requests that wait at the same time; 0: none does. */
  readonly max: number;
  readonly timeoutMs: number;
}
/** Of pools whose manifest has no queue. */
export const NO_QUEUE: QueueBounds = { max: 0, timeoutMs: 0 };

/** A request that has a place. */
export interface Placed {
  readonly charge: PlaceCharge;
  readonly startedMs: number;
}

/** One request in the room, from its entry until it has a place or goes. */
export interface Visit {
  readonly enteredMs: number;
  /** It looked and found no place: resolves at its next turn. Rejects with AppError where it gets none. */
  again(): Promise<void>;
  /** It has a place, or goes. Idempotent, and must be called. */
  leave(): void;
}

interface Waiting extends Waiter {
  readonly deadlineMs: number;
  call(): void;
  refuse(error: AppError): void;
}

export class WaitingRoom {
  readonly #clock: Clock;
  readonly #queue = new FairQueue<Waiting>();
  readonly #rates = new Map<string, DrainRate>();
  readonly #all = new DrainRate();
  /** Classes that were tried in vain since something came free. */
  readonly #inVain = new Set<string>();
  /** Whose turn it is. */
  #called: Waiting | undefined;
  #stirred = false;
  #looking: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many wait, by pool; none: not named. */
  waiting(): Map<string, number> {
    return new Map(this.#queue.sizes());
  }

  /** How many of a pool's requests are at nodes. */
  inFlight(pool: string): number {
    return this.#rates.get(pool)?.inFlight ?? 0;
  }

  /** Whether others wait for what this request wants already: it goes behind them. */
  mustWait(pool: string, className: string): boolean {
    return this.#queue.size > 0 && this.#queue.hasClass(pool, className);
  }

  /** Resolves at its first turn; rejects with AppError where it gets none: shed, too late, pushed out or cancelled. */
  async enter(who: Waiter, bounds: QueueBounds, cancellation: Cancellation): Promise<Visit> {
    if (cancellation.reason !== undefined) throw cancellation.reason;
    const nowMs = this.#clock.monotonicMs();
    const expectedMs = this.#waitMs(who.pool, this.#queue.aheadOf(who.pool, who.caller) + 1, nowMs);
    if (bounds.max === 0 || (expectedMs ?? 0) > bounds.timeoutMs) throw this.#shed(who.pool, expectedMs);
    this.#makeRoom(who, bounds.max, nowMs);
    const visit = new Waits(who, nowMs, nowMs + bounds.timeoutMs, cancellation, {
      again: (waiting) => this.#again(waiting),
      leave: (waiting) => this.#leave(waiting),
    });
    this.#queue.add(visit);
    this.#looking ??= this.#clock.every(LOOK_MS, () => this.#look());
    const turn = visit.turn();
    this.#next();
    await turn;
    return visit;
  }

  /** A request of the pool goes to a node, whether it waited or not. */
  started(pool: string, caller: string): Placed {
    const startedMs = this.#clock.monotonicMs();
    this.#rateOf(pool).started(startedMs);
    this.#all.started(startedMs);
    return { charge: this.#queue.started(pool, caller, startedMs), startedMs };
  }

  /** Its place is free again. Once for each. */
  ended({ charge, startedMs }: Placed): void {
    const nowMs = this.#clock.monotonicMs();
    this.#rateOf(charge.pool.key).ended(nowMs - startedMs, nowMs);
    this.#all.ended(nowMs - startedMs, nowMs);
    this.#queue.ended(charge, nowMs);
    this.stir();
  }

  /** Something may have come free. */
  stir(): void {
    if (this.#queue.size === 0) return;
    this.#stirred = true;
    this.#next();
  }

  stop(): void {
    this.#looking?.cancel();
    this.#looking = undefined;
  }

  /** Where the room is full, who has most in it makes room for who has less; else the newcomer is shed. */
  #makeRoom({ pool, caller }: Waiter, max: number, nowMs: number): void {
    const waiting = this.#queue.waitingIn(pool);
    if (waiting < max) return;
    const shed = this.#shed(pool, this.#waitMs(pool, waiting + 1, nowMs));
    const pushed = this.#queue.toPushOut(pool, caller);
    if (pushed === undefined || pushed === this.#called) throw shed;
    pushed.refuse(shed);
  }

  #again(waiting: Waiting): void {
    if (this.#called !== waiting) return;
    this.#inVain.add(classKey(waiting));
    this.#called = undefined;
    this.#next();
  }

  #leave(waiting: Waiting): void {
    this.#queue.remove(waiting);
    if (this.#called === waiting) this.#called = undefined;
    this.#next();
  }

  /** One at a time: what the one finds decides what is left for the next. */
  #next(): void {
    if (this.#called !== undefined) return;
    if (this.#stirred) {
      this.#stirred = false;
      this.#inVain.clear();
    }
    const next = this.#queue.next(this.#inVain);
    if (next === undefined) return;
    this.#called = next;
    next.call();
  }

  #look(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const waiting of this.#queue.waiters()) {
      if (waiting.deadlineMs > nowMs || waiting === this.#called) continue;
      const retryAfterS = retryAfter(this.#waitMs(waiting.pool, 1, nowMs));
      waiting.refuse(new AppError('capacity.queue_timeout', { retryAfterS }));
    }
    if (this.#queue.size === 0) this.stop();
    else this.stir();
  }

  #shed(pool: string, waitMs: number | undefined): AppError {
    const retryAfterS = retryAfter(waitMs);
    const message = `All nodes that may serve this have as many requests as they take; try again in ${retryAfterS} s.`;
    return new AppError('capacity.overloaded', {
      message,
      details: { waiting: this.#queue.waitingIn(pool) },
      retryAfterS,
    });
  }

  /** Until so many places have come free; undefined where nothing tells. Where others hold all places, theirs count. */
  #waitMs(pool: string, places: number, nowMs: number): number | undefined {
    const everyMs = this.#rates.get(pool)?.everyMs(nowMs) ?? this.#all.everyMs(nowMs);
    return everyMs === undefined ? undefined : everyMs * places;
  }

  #rateOf(pool: string): DrainRate {
    let rate = this.#rates.get(pool);
    if (rate !== undefined) return rate;
    if (this.#rates.size >= MAX_RATES)
      for (const [name, { inFlight }] of this.#rates) if (inFlight === 0) this.#rates.delete(name);
    this.#rates.set(pool, (rate = new DrainRate()));
    return rate;
  }
}

function retryAfter(waitMs: number | undefined): number {
  return Math.min(MAX_RETRY_S, Math.max(MIN_RETRY_S, Math.ceil((waitMs ?? 0) / 1_000)));
}

/** How a visit tells the room. */
interface Doors {
  again(waiting: Waiting): void;
  leave(waiting: Waiting): void;
}

class Waits implements Waiting, Visit {
  readonly pool: string;
  readonly caller: string;
  readonly className: string;
  readonly enteredMs: number;
  readonly deadlineMs: number;
  readonly #cancellation: Cancellation;
  readonly #doors: Doors;
  #turn: { readonly resolve: () => void; readonly reject: (error: AppError) => void } | undefined;
  #refused: AppError | undefined;
  #left = false;

  constructor(who: Waiter, enteredMs: number, deadlineMs: number, cancellation: Cancellation, doors: Doors) {
    this.pool = who.pool;
    this.caller = who.caller;
    this.className = who.className;
    this.enteredMs = enteredMs;
    this.deadlineMs = deadlineMs;
    this.#cancellation = cancellation;
    this.#doors = doors;
    cancellation.listen(this.#cancelled);
  }

  /** Settled by `call` or `refuse`. */
  turn(): Promise<void> {
    return new Promise((resolve, reject) => {
      const error = this.#refused ?? this.#cancellation.reason;
      if (error === undefined) this.#turn = { resolve, reject };
      else reject(error);
    });
  }

  again(): Promise<void> {
    const turn = this.turn();
    this.#doors.again(this);
    return turn;
  }

  call(): void {
    const turn = this.#turn;
    this.#turn = undefined;
    turn?.resolve();
  }

  refuse(error: AppError): void {
    this.#refused = error;
    const turn = this.#turn;
    this.#turn = undefined;
    this.leave();
    turn?.reject(error);
  }

  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#cancellation.unlisten(this.#cancelled);
    this.#doors.leave(this);
  }

  readonly #cancelled = (reason: AppError): void => this.refuse(reason);
}

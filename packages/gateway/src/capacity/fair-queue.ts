/**
 * Requests that wait for a place, in the order in which they are due: fair between pools, within a pool between callers,
 * and first come, first served within a caller. Pure: who waits is a value, and time is told.
 *
 * A request that cannot be placed holds up none that can: `next` passes over whole classes (requests that only the same
 * places could take) that were tried in vain, so no place stays empty that somebody who waits could have.
 */
import { type Charge, FairShares } from './fair-shares.ts';

export interface Waiter {
  readonly pool: string;
  readonly caller: string;
  /** Requests of one pool and one class are placed alike: where one finds no place, no other does. */
  readonly className: string;
}

interface PoolQueue<One> {
  /** By caller, in the order in which they came. */
  readonly lanes: Map<string, Set<One>>;
  readonly callers: FairShares;
  readonly classes: Map<string, number>;
  size: number;
}

/** What holds a place, at both levels. */
export interface PlaceCharge {
  readonly pool: Charge;
  readonly caller: Charge;
}

export class FairQueue<One extends Waiter> {
  readonly #queues = new Map<string, PoolQueue<One>>();
  readonly #pools = new FairShares();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  waitingIn(pool: string): number {
    return this.#queues.get(pool)?.size ?? 0;
  }

  /** Whether others wait for the same places already. */
  hasClass(pool: string, className: string): boolean {
    return this.#queues.get(pool)?.classes.has(className) === true;
  }

  /** How many of those that wait come before a further one of this caller, if all take equally long. */
  aheadOf(pool: string, caller: string): number {
    const lanes = this.#queues.get(pool)?.lanes;
    if (lanes === undefined) return 0;
    const own = lanes.get(caller)?.size ?? 0;
    let ahead = own;
    for (const [other, { size }] of lanes) if (other !== caller) ahead += Math.min(size, own + 1);
    return ahead;
  }

  /** The newest of the caller with the most that wait, where they are more than this caller would have with one more. */
  toPushOut(pool: string, caller: string): One | undefined {
    const lanes = this.#queues.get(pool)?.lanes;
    if (lanes === undefined) return undefined;
    let most = (lanes.get(caller)?.size ?? 0) + 1;
    let longest: Set<One> | undefined;
    for (const lane of lanes.values()) {
      if (lane.size <= most) continue;
      most = lane.size;
      longest = lane;
    }
    return longest === undefined ? undefined : [...longest].at(-1);
  }

  add(waiter: One): void {
    const queue = this.#queueOf(waiter.pool);
    let lane = queue.lanes.get(waiter.caller);
    if (lane === undefined) queue.lanes.set(waiter.caller, (lane = new Set()));
    lane.add(waiter);
    queue.classes.set(waiter.className, (queue.classes.get(waiter.className) ?? 0) + 1);
    queue.size += 1;
    this.#size += 1;
    this.#pools.waits(waiter.pool);
    queue.callers.waits(waiter.caller);
  }

  /** False where it does not wait (any more). */
  remove(waiter: One): boolean {
    const queue = this.#queues.get(waiter.pool);
    const lane = queue?.lanes.get(waiter.caller);
    if (queue === undefined || lane?.delete(waiter) !== true) return false;
    if (lane.size === 0) queue.lanes.delete(waiter.caller);
    const left = (queue.classes.get(waiter.className) ?? 1) - 1;
    if (left === 0) queue.classes.delete(waiter.className);
    else queue.classes.set(waiter.className, left);
    queue.size -= 1;
    this.#size -= 1;
    queue.callers.waitsNoMore(waiter.caller);
    this.#pools.waitsNoMore(waiter.pool);
    this.#forgetEmpty(waiter.pool, queue);
    return true;
  }

  /** Whose turn it is; `inVain` (pool and class): those that were tried since a place came free. */
  next(inVain: ReadonlySet<string>): One | undefined {
    let best: One | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const [pool, queue] of this.#queues) {
      if (queue.size === 0 || this.#pools.position(pool) >= least) continue;
      const candidate = nextIn(pool, queue, inVain);
      if (candidate === undefined) continue;
      best = candidate;
      least = this.#pools.position(pool);
    }
    return best;
  }

  /** A request of the pool has a place from now on, whether it waited or not. */
  started(pool: string, caller: string, nowMs: number): PlaceCharge {
    return { pool: this.#pools.started(pool, nowMs), caller: this.#queueOf(pool).callers.started(caller, nowMs) };
  }

  ended({ pool, caller }: PlaceCharge, nowMs: number): void {
    this.#pools.ended(pool, nowMs);
    const queue = this.#queues.get(pool.key);
    if (queue === undefined) return;
    queue.callers.ended(caller, nowMs);
    this.#forgetEmpty(pool.key, queue);
  }

  *waiters(): Iterable<One> {
    for (const { lanes } of this.#queues.values()) for (const lane of lanes.values()) yield* lane;
  }

  /** Pools that somebody waits in, with how many. */
  *sizes(): Iterable<readonly [string, number]> {
    for (const [pool, { size }] of this.#queues) if (size > 0) yield [pool, size];
  }

  #queueOf(pool: string): PoolQueue<One> {
    let queue = this.#queues.get(pool);
    if (queue === undefined) {
      queue = { lanes: new Map(), callers: new FairShares(), classes: new Map(), size: 0 };
      this.#queues.set(pool, queue);
    }
    return queue;
  }

  /** Where nobody has or wants a place, nobody is owed one. */
  #forgetEmpty(pool: string, { size, callers }: PoolQueue<One>): void {
    if (size === 0 && callers.idle) this.#queues.delete(pool);
  }
}

export function classKey({ pool, className }: Pick<Waiter, 'pool' | 'className'>): string {
  return `${pool} ${className}`;
}

function nextIn<One extends Waiter>(
  pool: string,
  { lanes, callers, classes }: PoolQueue<One>,
  inVain: ReadonlySet<string>,
): One | undefined {
  let open = classes.size;
  for (const className of classes.keys()) if (inVain.has(classKey({ pool, className }))) open -= 1;
  if (open === 0) return undefined;
  let best: One | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const [caller, lane] of lanes) {
    const position = callers.position(caller);
    if (position >= least) continue;
    for (const waiter of lane) {
      if (inVain.has(classKey(waiter))) continue;
      best = waiter;
      least = position;
      break;
    }
  }
  return best;
}

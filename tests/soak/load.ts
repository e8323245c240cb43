/**
 * The callers of a soak: requests begin at random times of a given rate, whatever became of those before, but never more than
 * so many at once. It can be brought to rest, so that what is in use then is what was left behind.
 */
import { ApiError } from '@subcloud/sdk/api-error';
import { eventually } from '@subcloud/testkit/eventually';
import { Chance } from '../hostile/chance.ts';
import type { Activity } from './background.ts';
import { type Caller, LEAVES } from './caller.ts';
import { type Credentials, KINDS, type Kind } from './requests.ts';

export interface LoadOptions {
  readonly seed: number;
  readonly perSecond: number;
  readonly caller: Caller;
  readonly credentials: Credentials;
}

/** What a whole answer must be counted as. */
export interface Counted {
  readonly kind: string;
  readonly prompt: number;
  readonly completion: number;
}

export interface Load {
  /** Begun so far. */
  readonly requests: number;
  /** Of them, those whose caller left. */
  readonly abandoned: number;
  readonly byKind: ReadonlyMap<string, number>;
  /** By request id. */
  readonly counted: ReadonlyMap<string, Counted>;
  /** What was not as it must be, the first of them. */
  readonly faults: readonly string[];
  readonly faultCount: number;
  /** Of the background, those that control refused for the moment apart. */
  readonly rounds: number;
  readonly underWay: ReadonlySet<string>;
  /** Resolves when nothing of it is under way any more; nothing begins until `goOn`. */
  rest(): Promise<void>;
  goOn(): void;
  background(activities: readonly Activity[]): void;
  /** As `rest`, for good. */
  stop(): Promise<void>;
}

/** Of all requests, those that can be left half done or not. */
const ABANDONED = 0.1;
const AT_ONCE = 64;
const POSTPONED: ReadonlySet<string> = new Set(['platform.standby', 'platform.control_unavailable']);
const TICK_MS = 20;
const MAX_FAULTS = 20;
const REST_LIMIT_MS = 120_000;
const LONG_PARTS = partsOf((kind) => isLong(kind));
const ALL_PARTS = partsOf(() => true);

export function startLoad({ seed, perSecond, caller, credentials }: LoadOptions): Load {
  const times = new Chance(seed);
  const byKind = new Map<string, number>();
  const counted = new Map<string, Counted>();
  const faults: string[] = [];
  let [requests, abandoned, faultCount, rounds, postponed] = [0, 0, 0, 0, 0];
  const underWay = new Set<string>();
  let [resting, stopped] = [false, false];

  const fault = (text: string): void => {
    faultCount += 1;
    if (faults.length < MAX_FAULTS) faults.push(text);
  };
  const during = async (what: string, act: () => Promise<void>): Promise<void> => {
    underWay.add(what);
    try {
      await act();
    } catch (error) {
      // On a machine so busy that control cannot prove in time that it leads, a change is refused, and rightly.
      if (error instanceof ApiError && POSTPONED.has(error.code)) postponed += 1;
      else fault(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      underWay.delete(what);
    }
  };
  const one = async (step: number): Promise<void> => {
    const chance = new Chance(seed, step + 1);
    const kind = pick(chance);
    const what = `${kind.name}, request ${step} of seed ${seed}`;
    const nonce = `r${step}`;
    const { ask, fault: faultOf, tokens, long } = kind.plan(nonce, chance, credentials);
    byKind.set(kind.name, (byKind.get(kind.name) ?? 0) + 1);
    const leaves = long && chance.chance((ABANDONED * ALL_PARTS) / LONG_PARTS);
    if (leaves) abandoned += 1;
    await during(what, async () => {
      const reply = leaves
        ? await caller.abandon(ask, chance.of(LEAVES), chance.of(['close', 'reset']))
        : await caller.call(ask);
      // Who closed its side and got no answer was taken for gone.
      if (reply === undefined || (leaves && !reply.whole)) return;
      const found = faultOf(reply);
      if (found !== undefined) return fault(`${what}: ${found}`);
      const id = String(reply.headers['x-request-id']);
      if (tokens === undefined || reply.status !== 200 || !reply.whole) return;
      if (counted.has(id)) fault(`${what}: another answer has the id ${id} too`);
      counted.set(id, { ...tokens, kind: kind.name });
    });
  };

  let dueMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    if (resting || stopped) {
      dueMs = nowMs;
      return;
    }
    for (; dueMs <= nowMs; dueMs += (-Math.log(1 - times.unit()) * 1_000) / perSecond)
      if (underWay.size < AT_ONCE) void one(requests++);
  }, TICK_MS);

  const rest = async (): Promise<void> => {
    resting = true;
    await eventually(
      'all requests end',
      () => {
        if (underWay.size > 0) throw new Error(`still under way: ${[...underWay].slice(0, 5).join('; ')}`);
        return true;
      },
      REST_LIMIT_MS,
    );
    caller.rest();
  };
  const repeat = async ({ name, pauseMs, run }: Activity): Promise<void> => {
    for (let round = 0; !stopped; round += 1) {
      for (let waitedMs = 0; !stopped && (resting || waitedMs < pauseMs); waitedMs += 100) await sleep(100);
      if (stopped) return;
      await during(`${name}, round ${round}`, () => run(round));
      rounds += 1;
    }
  };
  const loops: Promise<void>[] = [];
  return {
    get requests() {
      return requests;
    },
    get abandoned() {
      return abandoned;
    },
    byKind,
    counted,
    faults,
    get faultCount() {
      return faultCount;
    },
    get rounds() {
      return rounds - postponed;
    },
    underWay,
    rest,
    goOn: () => (resting = false),
    background: (activities) => void loops.push(...activities.map(repeat)),
    async stop() {
      await rest();
      stopped = true;
      clearInterval(timer);
      await Promise.all(loops);
    },
  };
}

function pick(chance: Chance): Kind {
  let part = chance.unit() * ALL_PARTS;
  for (const kind of KINDS) {
    part -= kind.parts;
    if (part < 0) return kind;
  }
  return chance.of(KINDS);
}

function isLong(kind: Kind): boolean {
  return kind.plan('x', new Chance(0), { key: '', token: '', chatToken: '', revoked: '' }).long;
}

function partsOf(which: (kind: Kind) => boolean): number {
  return KINDS.filter(which).reduce((sum, { parts }) => sum + parts, 0);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

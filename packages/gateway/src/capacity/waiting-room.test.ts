import assert from 'node:assert/strict';
import { AppError } from '@subcloud/contract/errors';
import type { MemberRow, NodeRow } from '@subcloud/contract/table';
import { virtualClock } from '@subcloud/testkit/virtual-clock';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NodeLink } from '../link/node-link.ts';
import { Cancellation } from '../request/cancellation.ts';
import { hasPlace, placeIn, placesFor } from './places.ts';
import { spreadReserves } from './reserves.ts';
import { type Visit, WaitingRoom } from './waiting-room.ts';

const LOOK_MS = 100;

interface Request {
  readonly pool: number;
  readonly caller: number;
  /** Index of the only node that it wants; undefined: any member. */
  readonly only: number | undefined;
  readonly cancellation: Cancellation;
  readonly arrivedMs: number;
  state: 'waiting' | 'running' | 'done' | 'refused';
  node: number;
  give: (() => void) | undefined;
  error: AppError | undefined;
}

interface World {
  readonly nodes: readonly { readonly concurrency: number }[];
  readonly pools: readonly {
    readonly members: readonly boolean[];
    readonly share: number | undefined;
    readonly reserve: number | undefined;
    readonly queue: { readonly max: number; readonly timeoutMs: number };
  }[];
}

/** The gateway's own room, places and reserves; nodes and requests are values. */
class Model {
  readonly clock = virtualClock();
  readonly room = new WaitingRoom(this.clock);
  readonly requests: Request[] = [];
  readonly #world: World;
  readonly #links: NodeLink[];
  readonly #reserves;

  constructor(world: World) {
    this.#world = world;
    this.#links = world.nodes.map(() => ({ inFlight: 0, inFlightByPool: new Map() }) as unknown as NodeLink);
    this.#reserves = spreadReserves(
      world.pools.flatMap(({ reserve, members, share }, index) =>
        reserve === undefined
          ? []
          : [
              {
                name: `p${index}`,
                reserve,
                members: world.nodes.flatMap(({ concurrency }, node) => {
                  const usable = placesFor({ share }, concurrency);
                  return members[node] === true ? [{ node: `n${node}`, places: concurrency, usable }] : [];
                }),
              },
            ],
      ),
    );
  }

  arrive(pool: number, caller: number, only: number | undefined): Request {
    const request: Request = {
      pool,
      caller,
      only,
      cancellation: new Cancellation(),
      arrivedMs: this.clock.monotonicMs(),
      state: 'waiting',
      node: -1,
      give: undefined,
      error: undefined,
    };
    this.requests.push(request);
    void this.#serve(request);
    return request;
  }

  finish(request: Request): void {
    request.state = 'done';
    request.give?.();
  }

  running(where: Partial<Pick<Request, 'pool' | 'node'>> = {}): Request[] {
    return this.requests.filter(
      ({ state, pool, node }) => state === 'running' && (where.pool ?? pool) === pool && (where.node ?? node) === node,
    );
  }

  waiting(): Request[] {
    return this.requests.filter(({ state }) => state === 'waiting');
  }

  /** As the request path does it: looks, waits, looks again. */
  async #serve(request: Request): Promise<void> {
    const pool = `p${request.pool}`;
    const className = request.only === undefined ? 'any' : `only ${request.only}`;
    const queue = this.#world.pools[request.pool]?.queue ?? { max: 0, timeoutMs: 0 };
    let visit: Visit | undefined;
    try {
      for (;;) {
        const mayLook = visit !== undefined || !this.room.mustWait(pool, className);
        const node = mayLook ? this.placeFor(request) : undefined;
        if (node !== undefined) return this.#start(request, node);
        if (visit === undefined)
          visit = await this.room.enter({ pool, caller: `c${request.caller}`, className }, queue, request.cancellation);
        else await visit.again();
      }
    } catch (error) {
      request.state = 'refused';
      request.error = error as AppError;
    } finally {
      visit?.leave();
    }
  }

  placeFor({ pool, only }: Request): number | undefined {
    const found = this.#world.nodes.findIndex(({ concurrency }, node) => {
      const { members = [], share } = this.#world.pools[pool] ?? {};
      const link = this.#links[node];
      if (link === undefined || members[node] !== true || (only !== undefined && only !== node)) return false;
      const member = { pool: `p${pool}`, node: `n${node}`, share } as MemberRow;
      return hasPlace(member, { concurrency } as NodeRow, link, this.#reserves);
    });
    return found === -1 ? undefined : found;
  }

  #start(request: Request, node: number): void {
    const link = this.#links[node];
    if (link === undefined) throw new Error('no such node');
    request.state = 'running';
    request.node = node;
    const { timeoutMs } = this.#world.pools[request.pool]?.queue ?? { timeoutMs: 0 };
    assert.ok(this.clock.monotonicMs() - request.arrivedMs <= timeoutMs + LOOK_MS);
    const held = { pool: { name: `p${request.pool}` }, credential: { principal: `c${request.caller}` } };
    request.give = placeIn(this.room, link, held)();
  }

  /** In steps as small as the room's own, since what a tick lets look does so after it. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= LOOK_MS) {
      this.clock.advance(Math.min(left, LOOK_MS));
      await settled();
    }
  }

  check(): void {
    const { nodes, pools } = this.#world;
    nodes.forEach(({ concurrency }, node) => {
      const here = this.running({ node });
      assert.ok(here.length <= concurrency);
      assert.strictEqual(this.#links[node]?.inFlight, here.length);
      pools.forEach(({ share }, pool) => {
        const ofPool = here.filter((request) => request.pool === pool).length;
        if (share !== undefined) assert.ok(ofPool <= Math.max(1, Math.floor(share * concurrency + 1e-9)));
      });
      // What is reserved and not used is free, unless it was in use by its own pool when the others came.
      for (const { pool, places } of this.#reserves.get(`n${node}`) ?? []) {
        const others = here.filter((request) => `p${request.pool}` !== pool).length;
        assert.ok(others <= concurrency - places);
      }
    });
    const now = this.clock.monotonicMs();
    pools.forEach(({ queue }, pool) => {
      const waiting = this.waiting().filter((request) => request.pool === pool);
      assert.ok(waiting.length <= queue.max);
      assert.strictEqual(this.room.waiting().get(`p${pool}`) ?? 0, waiting.length);
      for (const request of waiting) {
        // Nobody waits who could be served, and nobody longer than it may.
        assert.strictEqual(this.placeFor(request), undefined);
        assert.ok(now - request.arrivedMs <= queue.timeoutMs + LOOK_MS);
      }
    });
  }
}

const settled = async (): Promise<void> => {
  await new Promise((resolve) => setImmediate(resolve));
};

const NODES = 3;
const world: fc.Arbitrary<World> = fc.record({
  nodes: fc.array(fc.record({ concurrency: fc.integer({ min: 1, max: 5 }) }), { minLength: NODES, maxLength: NODES }),
  pools: fc.array(
    fc.record({
      members: fc.array(fc.boolean(), { minLength: NODES, maxLength: NODES }),
      share: fc.option(fc.constantFrom(0.2, 0.5, 0.75), { nil: undefined }),
      reserve: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined, freq: 2 }),
      queue: fc.record({ max: fc.integer({ min: 0, max: 6 }), timeoutMs: fc.constantFrom(200, 1_000, 5_000) }),
    }),
    { minLength: 2, maxLength: 3 },
  ),
});
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('arrive' as const),
      pool: fc.nat(2),
      caller: fc.nat(3),
      only: fc.option(fc.nat(NODES - 1), { nil: undefined, freq: 3 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('finish' as const), which: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), which: fc.nat(50) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(10, 150, 700) }) },
);

describe('the waiting room', () => {
  test('whatever comes, goes and leaves: places, queues and deadlines hold, and no place is empty that somebody waits for', async () => {
    await fc.assert(
      fc.asyncProperty(world, fc.array(step, { maxLength: 60 }), async (made, steps) => {
        const model = new Model(made);
        for (const one of steps) {
          if (one.do === 'arrive') model.arrive(one.pool % made.pools.length, one.caller, one.only);
          else if (one.do === 'pass') await model.pass(one.ms);
          else {
            const from = one.do === 'finish' ? model.running() : model.waiting();
            const chosen = from[one.which % Math.max(1, from.length)];
            if (chosen !== undefined && one.do === 'finish') model.finish(chosen);
            else if (chosen !== undefined) {
              chosen.cancellation.cancel(new AppError('client.closed_request'));
              await settled();
              expect(chosen).toMatchObject({ state: 'refused', error: { code: 'client.closed_request' } });
            }
          }
          await settled();
          model.check();
        }
        await model.pass(6_000);
        expect(model.waiting()).toEqual([]);
        for (const request of model.running()) model.finish(request);
        await settled();
        for (const { state, error } of model.requests) {
          expect(['done', 'refused']).toContain(state);
          if (state === 'refused') {
            expect(['capacity.overloaded', 'capacity.queue_timeout', 'client.closed_request']).toContain(error?.code);
            if (error?.code !== 'client.closed_request') expect(error?.retryAfterS).toBeGreaterThanOrEqual(1);
          }
        }
        expect(model.room.waiting().size).toBe(0);
        expect(model.clock.nextTimerInMs()).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });
});

interface Backlog {
  readonly pool: number;
  readonly caller: number;
  readonly tookMs: number;
  readonly waiting: number;
}

/** Each keeps so many requests in the room all the time; returns the place-time that each had. */
async function contend(places: number, backlogs: readonly Backlog[], forMs: number): Promise<number[]> {
  const pools = [0, 1].map(() => ({
    members: [true],
    share: undefined,
    reserve: undefined,
    queue: { max: 64, timeoutMs: 600_000 },
  }));
  const model = new Model({ nodes: [{ concurrency: places }], pools });
  const had = backlogs.map(() => 0);
  const mine = backlogs.map(() => new Set<Request>());
  const startedMs = new Map<Request, number>();
  for (let nowMs = 0; nowMs < forMs; nowMs += 50) {
    backlogs.forEach((backlog, index) => {
      for (const request of mine[index] ?? []) {
        if (request.state === 'running' && !startedMs.has(request)) startedMs.set(request, nowMs);
        const sinceMs = startedMs.get(request);
        if (sinceMs !== undefined && nowMs - sinceMs >= backlog.tookMs) {
          model.finish(request);
          had[index] = (had[index] ?? 0) + nowMs - sinceMs;
        }
        if (request.state === 'done' || request.state === 'refused') mine[index]?.delete(request);
      }
      while ((mine[index]?.size ?? 0) < backlog.waiting)
        mine[index]?.add(model.arrive(backlog.pool, backlog.caller, undefined));
    });
    await settled();
    model.clock.advance(50);
    await settled();
  }
  return had;
}

describe('turns', () => {
  test.each([
    [
      'one caller with sixty requests and one with two',
      2,
      [
        { pool: 0, caller: 0, tookMs: 1_000, waiting: 60 },
        { pool: 0, caller: 1, tookMs: 1_000, waiting: 4 },
      ],
    ],
    [
      'one caller with long answers and one with short ones',
      1,
      [
        { pool: 0, caller: 0, tookMs: 8_000, waiting: 10 },
        { pool: 0, caller: 1, tookMs: 500, waiting: 10 },
      ],
    ],
    [
      'one pool with many callers and one with one',
      3,
      [
        { pool: 0, caller: 0, tookMs: 1_000, waiting: 20 },
        { pool: 0, caller: 1, tookMs: 1_000, waiting: 20 },
        { pool: 1, caller: 2, tookMs: 1_000, waiting: 20 },
      ],
    ],
  ])('%s share the places evenly', async (_, places, backlogs) => {
    const had = await contend(places, backlogs, 240_000);
    const byPool = [0, 1].map((pool) => had.filter((_, index) => backlogs[index]?.pool === pool));
    const sides = byPool.filter((side) => side.length > 0).map((side) => side.reduce((sum, one) => sum + one, 0));
    for (const side of [...(sides.length > 1 ? [sides] : []), ...byPool.filter(({ length }) => length > 1)]) {
      expect(Math.max(...side) / Math.min(...side)).toBeLessThan(1.25);
    }
  });

  test('a full room makes room for who has less in it, and sheds who has most', async () => {
    const pools = [{ members: [true], share: undefined, reserve: undefined, queue: { max: 3, timeoutMs: 60_000 } }];
    const model = new Model({ nodes: [{ concurrency: 1 }], pools });
    const greedy = Array.from({ length: 5 }, () => model.arrive(0, 0, undefined));
    await settled();
    expect(greedy.map(({ state }) => state)).toEqual(['running', 'waiting', 'waiting', 'waiting', 'refused']);
    const modest = model.arrive(0, 1, undefined);
    await settled();
    expect([modest.state, greedy[3]?.state, greedy[3]?.error?.code]).toEqual([
      'waiting',
      'refused',
      'capacity.overloaded',
    ]);
  });

  test('who cannot be served in time is told at once when to come again, as measured', async () => {
    const pools = [{ members: [true], share: undefined, reserve: undefined, queue: { max: 100, timeoutMs: 10_000 } }];
    const model = new Model({ nodes: [{ concurrency: 2 }], pools });
    for (let round = 0; round < 30; round += 1) {
      const two = [model.arrive(0, 0, undefined), model.arrive(0, 0, undefined)];
      await settled();
      model.clock.advance(2_000);
      for (const request of two) model.finish(request);
      await settled();
    }
    const many = Array.from({ length: 16 }, () => model.arrive(0, 0, undefined));
    await settled();
    // Two at a time, each 2 s: the tenth that waits would wait 10 s, and one more longer than it may.
    expect(many.filter(({ state }) => state === 'waiting')).toHaveLength(10);
    expect(many.filter(({ state }) => state === 'refused').map(({ error }) => error?.retryAfterS)).toEqual([
      11, 11, 11, 11,
    ]);
  });
});

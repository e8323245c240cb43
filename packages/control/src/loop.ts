/**
 * Control's one writer. Every change goes through `change`: a transaction, then the same in memory, then a pass that
 * reconciles the nodes it touched, writes what follows, and publishes. Turns are serialised, so nothing ever decides on
 * half a change. A turn that fails in the store changes nothing in memory, the nodes stay due, and the world is read
 * again before the next turn, since a broken connection does not tell whether its COMMIT arrived.
 *
 * A pass is level-triggered: it derives memberships, documents and rows from what is, never from what happened.
 */
import { AppError } from '@subcloud/contract/errors';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { ControlMetrics } from './metrics/control-metrics.ts';
import type { Database } from './store/database.ts';
import { type Pass, type PassContext, type Scope, createPass } from './pass.ts';
import type { FactName } from '@subcloud/policy/facts';
import { reloadWorld } from './world/reload-world.ts';
import type { World } from './world/world.ts';

export type Transaction = Parameters<Parameters<ReturnType<Database['transaction']>['execute']>[0]>[0];

export interface Change<Result> {
  readonly result: Result;
  /** Does to the world what the transaction did to the store. Synchronous; must not throw. */
  readonly apply: (world: World) => void;
  /** Nodes to reconcile: their facts, consent or memberships changed; `all` when a policy did. */
  readonly touched: Iterable<string> | 'all';
  /** What of the touched nodes has changed, of all or of each; absent: anything. */
  readonly scope?: ChangeScope | ((node: string) => ChangeScope | undefined);
}

/** Only Subclouds that read one of these facts, or only these Subclouds, can decide otherwise than before. */
export type ChangeScope = { readonly facts: ReadonlySet<FactName> } | { readonly subclouds: Iterable<string> };

export interface Loop {
  readonly world: World;
  /** Runs one durable change and the pass after it. `tableVersion` is the table that holds its effect. */
  change<Result>(
    work: (tx: Transaction) => Promise<Change<Result>>,
  ): Promise<{ readonly result: Result; readonly tableVersion: number }>;
  /** Marks nodes for a pass soon; for what is not in the store (acknowledgements of gateways, time). */
  touch(nodes: Iterable<string> | 'all', scope?: ChangeScope): void;
  /** Resolves when no turn is under way and nothing is due. For tests and for shutdown. */
  readonly idle: () => Promise<void>;
  /** Resolves when the turns that are under way or waiting have ended, and the world is what the store says; rejects where that is not known. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

/** Passes that nobody waits for are coalesced over this long. */
const COALESCE_MS = 20;
const RETRY_MS = 1_000;

const NOTHING: ReadonlySet<string> = new Set();

function scopeOf(world: World, scope: ChangeScope | undefined): Scope {
  if (scope === undefined) return 'all';
  if ('subclouds' in scope) return new Set(scope.subclouds);
  if (scope.facts.size === 0) return NOTHING;
  const readers = new Set<string>();
  for (const { id, policy } of world.subclouds.values()) {
    for (const fact of scope.facts) if (policy.reads.has(fact)) readers.add(id);
  }
  return readers;
}

function widest(a: Scope, b: Scope): Scope {
  return a === 'all' || b === 'all' ? 'all' : new Set([...a, ...b]);
}

export function createLoop(
  context: PassContext & {
    readonly db: Database;
    readonly clock: Clock;
    readonly log: Log;
    readonly metrics?: Pick<ControlMetrics, 'passed' | 'passFailed'>;
    /** Called after every turn that may have changed the world. */
    readonly onTurn?: () => void;
  },
): Loop {
  const { db, world, clock, log } = context;
  const pass: Pass = createPass(context);
  let due = new Map<string, Scope>();
  let tail: Promise<unknown> = Promise.resolve();
  let scheduled = false;
  let stopped = false;
  /** A transaction ended in a way that leaves open what the store holds now. */
  let suspect = false;

  const enqueue = <Result>(turn: () => Promise<Result>): Promise<Result> => {
    const next = tail.then(async () => {
      if (suspect) {
        mark(await reloadWorld(db, world, context.table));
        suspect = false;
      }
      return turn();
    });
    tail = next.catch(() => undefined);
    return next;
  };
  const mark = (nodes: Iterable<string> | 'all', scope: Scope = 'all'): void => {
    for (const node of nodes === 'all' ? world.nodes.keys() : nodes) {
      const before = due.get(node);
      due.set(node, before === undefined ? scope : widest(before, scope));
    }
  };
  const runPass = async (): Promise<void> => {
    const taken = due;
    due = new Map();
    const startedMs = clock.monotonicMs();
    try {
      await pass.run(taken);
      context.metrics?.passed(clock.monotonicMs() - startedMs);
      release();
    } catch (error) {
      context.metrics?.passFailed();
      suspect = true;
      mark(taken.keys());
      schedule(RETRY_MS);
      throw error;
    } finally {
      context.onTurn?.();
    }
  };
  const schedule = (delayMs: number): void => {
    if (scheduled || stopped) return;
    scheduled = true;
    clock.after(delayMs, () => {
      scheduled = false;
      if (stopped) return;
      enqueue(runPass).catch((error: unknown) =>
        log.error({ err: error }, 'a reconciler pass failed; it is tried again'),
      );
    });
  };

  const release = (): void => {
    mark(pass.released(), NOTHING);
    if (due.size > 0) schedule(COALESCE_MS);
  };
  context.leases.onChange(release);

  return {
    world,
    change: (work) =>
      enqueue(async () => {
        const change = await db
          .transaction()
          .execute(work)
          .catch((error: unknown) => {
            if (!(error instanceof AppError)) {
              suspect = true;
              schedule(RETRY_MS);
            }
            throw error;
          });
        change.apply(world);
        const { touched, scope } = change;
        if (typeof scope !== 'function') mark(touched, scopeOf(world, scope));
        else
          for (const node of touched === 'all' ? world.nodes.keys() : touched)
            mark([node], scopeOf(world, scope(node)));
        await runPass();
        return { result: change.result, tableVersion: context.table.version };
      }),
    touch(nodes, scope) {
      mark(nodes, scopeOf(world, scope));
      if (due.size > 0) schedule(COALESCE_MS);
    },
    async idle() {
      do await tail;
      while (scheduled && !stopped && (await clock.sleep(COALESCE_MS).then(() => true)));
      await tail;
    },
    settled: () => enqueue(() => Promise.resolve()),
    async stop() {
      stopped = true;
      await tail;
    },
  };
}

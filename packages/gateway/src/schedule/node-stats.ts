/**
 * What this gateway has seen of one node, told apart into the node (its link, its agent) and the engine behind each of
 * its models. It outlives a link, so that a node cannot leave its record behind by dialling anew.
 */
import type { EngineLoad } from '@subcloud/contract/link';
import type { NodeLoad } from '@subcloud/contract/load';
import { Health } from './health.ts';
import { PeakEwma } from './peak-ewma.ts';

/** Models of a node that are told apart; beyond it they share one record. */
const MAX_MODELS = 256;
/** What an agent said of its engines counts for this long. */
const REPORT_VALID_MS = 15_000;

/** `trial`: it was ejected, and is due to be tried with one request. `out`: it is ejected. */
export type Standing = 'in' | 'trial' | 'out';

/** What ended a try says of who: `busy` is a refusal of load, `unjudged` says nothing of the node. */
export type Judgement = 'served' | 'node failed' | 'engine failed' | 'busy' | 'unjudged';

/** A failure counts as an answer that took this long, and at least twice what answers took. */
const FAILURE_MS = 5_000;
const BUSY_MS = 1_000;
/** A node that said that it is full is not asked again by those that wait for so long. */
const FULL_MS = 250;

/** Time to the first byte of one kind of answers. */
export class Latency {
  readonly seen = new PeakEwma();
  #waiting = 0;
  #silentSinceMs = 0;

  /** Null where nothing was ever seen. While somebody waits, silence counts: a node that hangs is slow before it answers. */
  at(nowMs: number): number | null {
    if (!this.seen.known) return null;
    return Math.max(this.seen.at(nowMs), this.#waiting === 0 ? 0 : nowMs - this.#silentSinceMs);
  }

  sent(nowMs: number): void {
    if (this.#waiting === 0) this.#silentSinceMs = nowMs;
    this.#waiting += 1;
  }

  /** A first byte came, or will not. */
  settled(nowMs: number): void {
    this.#waiting -= 1;
    this.#silentSinceMs = nowMs;
  }
}

export class ModelStats {
  /** Monotonic. */
  fullUntilMs = 0;
  readonly health = new Health();
  readonly #streamed = new Latency();
  /** Of answers that come whole: they take as long as they are. */
  readonly #whole = new Latency();

  latency(stream: boolean): Latency {
    return stream ? this.#streamed : this.#whole;
  }
}

export type NodeSummary = Omit<NodeLoad, 'node' | 'inFlight'>;

export class NodeStats {
  readonly health = new Health();
  readonly #models = new Map<string, ModelStats>();
  readonly #others = new ModelStats();
  #fullUntilMs = 0;
  #load:
    | {
        readonly byModel: ReadonlyMap<string, EngineLoad>;
        readonly engines: readonly EngineLoad[];
        readonly atMs: number;
      }
    | undefined;

  of(model: string): ModelStats {
    const known = this.#models.get(model);
    if (known !== undefined) return known;
    if (this.#models.size >= MAX_MODELS) return this.#others;
    const made = new ModelStats();
    this.#models.set(model, made);
    return made;
  }

  reported(loads: readonly EngineLoad[], nowMs: number): void {
    const byModel = new Map<string, EngineLoad>();
    for (const load of loads) {
      for (const model of load.models) {
        const other = byModel.get(model);
        byModel.set(model, other === undefined ? load : together(load, other));
      }
    }
    this.#load = { byModel, engines: loads, atMs: nowMs };
  }

  /** Of the engine behind a model, where its agent said something lately. */
  load(model: string, nowMs: number): EngineLoad | undefined {
    return this.#load === undefined || nowMs - this.#load.atMs > REPORT_VALID_MS
      ? undefined
      : this.#load.byModel.get(model);
  }

  /** It has refused a request for the model for want of a place: others than this gateway send it some. */
  saidFull(model: string, nowMs: number): void {
    this.#fullUntilMs = nowMs + FULL_MS;
    this.of(model).fullUntilMs = this.#fullUntilMs;
  }

  isFull(model: string, nowMs: number): boolean {
    return this.#fullUntilMs > nowMs && this.of(model).fullUntilMs > nowMs;
  }

  /** For whoever looks: the worst of its models, and its engines together. */
  summary(nowMs: number): NodeSummary {
    const said = this.#load;
    const loads = said === undefined || nowMs - said.atMs > REPORT_VALID_MS ? [] : said.engines;
    const used = loads.flatMap(({ kvCacheUsed }) => (kvCacheUsed === null ? [] : [kvCacheUsed]));
    const models = [...this.#models.values(), this.#others];
    const latencies = models.flatMap((model) => [model.latency(true).at(nowMs), model.latency(false).at(nowMs)]);
    const known = latencies.filter((ms) => ms !== null);
    const standings = models.map((model) => this.standing(model, nowMs));
    const returns = [this.health, ...models.map(({ health }) => health)].some((health) => health.loadFactor(nowMs) > 1);
    const worst = standings.includes('out') ? 'ejected' : standings.includes('trial') ? 'half-open' : 'in';
    return {
      engineRunning: loads.length === 0 ? null : loads.reduce((sum, { running }) => sum + running, 0),
      engineWaiting: loads.length === 0 ? null : loads.reduce((sum, { waiting }) => sum + waiting, 0),
      kvCacheUsed: used.length === 0 ? null : Math.max(...used),
      latencyMs: known.length === 0 ? null : Math.max(...known),
      standing: worst === 'in' && returns ? 'slow-start' : worst,
    };
  }

  standing(model: ModelStats, nowMs: number): Standing {
    const { health } = this;
    if (!health.ejected && !model.health.ejected) return 'in';
    return health.healthy(nowMs) && model.health.healthy(nowMs) ? 'trial' : 'out';
  }
}

/** Two engines of one node behind one model: its agent takes the idler one. */
function together(a: EngineLoad, b: EngineLoad): EngineLoad {
  const [used, otherUsed] = [a.kvCacheUsed, b.kvCacheUsed];
  const kvCacheUsed = used === null || otherUsed === null ? null : Math.min(used, otherUsed);
  return { models: a.models, running: a.running + b.running, waiting: a.waiting + b.waiting, kvCacheUsed };
}

/** One try, from dispatch to judgement. Every method may be called once; `ended` must be. */
export class TriedNode {
  readonly #node: NodeStats;
  readonly #model: ModelStats;
  readonly #latency: Latency;
  readonly #sentMs: number;
  #answered = false;

  constructor(node: NodeStats, model: string, stream: boolean, nowMs: number) {
    this.#node = node;
    this.#model = node.of(model);
    this.#latency = this.#model.latency(stream);
    this.#sentMs = nowMs;
    node.health.sent(nowMs);
    this.#model.health.sent(nowMs);
    this.#latency.sent(nowMs);
  }

  firstByte(nowMs: number): void {
    this.#answered = true;
    this.#latency.settled(nowMs);
    const isBack = this.#node.health.ejected || this.#model.health.ejected;
    this.#latency.seen[isBack ? 'restart' : 'observe'](nowMs - this.#sentMs, nowMs);
  }

  ended(judgement: Judgement, nowMs: number): void {
    if (!this.#answered) this.#latency.settled(nowMs);
    const { seen } = this.#latency;
    switch (judgement) {
      case 'served':
        this.#node.health.succeeded(nowMs);
        return this.#model.health.succeeded(nowMs);
      case 'node failed':
        this.#node.health.failed(nowMs);
        this.#model.health.unjudged();
        return seen.observe(Math.max(FAILURE_MS, 2 * seen.at(nowMs)), nowMs);
      case 'engine failed':
        // Its agent answered: the node itself is well.
        this.#node.health.succeeded(nowMs);
        this.#model.health.failed(nowMs);
        return seen.observe(Math.max(FAILURE_MS, 2 * seen.at(nowMs)), nowMs);
      case 'busy':
        this.#node.health.succeeded(nowMs);
        this.#model.health.unjudged();
        return seen.observe(Math.max(BUSY_MS, seen.at(nowMs)), nowMs);
      case 'unjudged':
        this.#node.health.unjudged();
        return this.#model.health.unjudged();
    }
  }
}

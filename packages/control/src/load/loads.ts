/** What gateways last said of their load, and whether anybody wants to know. Memory only; a gateway that is silent is forgotten. */
import { LOAD_WINDOW_MS, type LoadRequest, type NodeLoad, type NodeStanding } from '@subcloud/contract/load';
import type { Clock } from '@subcloud/kit/clock';
import { LogHistogram } from '@subcloud/kit/log-histogram';

/** Gateways are asked to go on for so long after somebody looked. */
const WANTED_MS = 15_000;
/** Of one gateway; one a second, and some more after a pause. */
const MAX_INTERVALS = 16;

/** Counts are a second; each gateway's over what it covers. */
export interface PoolSum {
  readonly requests: number;
  readonly failed: number;
  readonly refused: number;
  readonly outputTokens: number;
  readonly ttft: LogHistogram;
  readonly tpot: LogHistogram;
  readonly inFlight: number;
  readonly waiting: number;
}

export interface LoadNow {
  readonly reporting: number;
  /** How far back the counts go. */
  readonly windowMs: number;
  readonly pools: ReadonlyMap<string, PoolSum>;
  /** A node that is not here is idle or gone, or no gateway had room for it. */
  readonly nodes: ReadonlyMap<string, NodeLoad>;
}

export interface Loads {
  now(): LoadNow;
  /** Somebody looks who may see something: gateways are to report. */
  look(): void;
  /** Whether gateways are to report. */
  wanted(): boolean;
  reported(report: LoadRequest): void;
}

interface Kept {
  readonly boot: string;
  readonly intervals: { readonly atMs: number; readonly report: LoadRequest }[];
}

export function createLoads(clock: Clock): Loads {
  const gateways = new Map<string, Kept>();
  let wantedUntilMs = Number.NEGATIVE_INFINITY;
  const forgetOld = (): void => {
    const sinceMs = clock.monotonicMs() - LOAD_WINDOW_MS;
    for (const [gateway, { intervals }] of gateways) {
      while (intervals[0] !== undefined && intervals[0].atMs < sinceMs) intervals.shift();
      if (intervals.length === 0) gateways.delete(gateway);
    }
  };
  return {
    wanted: () => clock.monotonicMs() < wantedUntilMs,
    reported(report) {
      const { gateway, boot } = report;
      const known = gateways.get(gateway);
      const kept = known?.boot === boot ? known : { boot, intervals: [] };
      kept.intervals.push({ atMs: clock.monotonicMs(), report });
      if (kept.intervals.length > MAX_INTERVALS) kept.intervals.shift();
      gateways.set(gateway, kept);
    },
    look() {
      wantedUntilMs = clock.monotonicMs() + WANTED_MS;
    },
    now() {
      forgetOld();
      const pools = new Map<string, Mutable<PoolSum>>();
      const nodes = new Map<string, NodeLoad>();
      let windowMs = 0;
      for (const { intervals } of gateways.values()) {
        const coversMs = intervals.reduce((sum, { report }) => sum + report.coversMs, 0);
        windowMs = Math.max(windowMs, coversMs);
        for (const { report } of intervals) addCounts(pools, report, 1_000 / coversMs);
        const last = intervals.at(-1)?.report;
        if (last === undefined) continue;
        addGauges(pools, last);
        for (const node of last.nodes) nodes.set(node.node, together(nodes.get(node.node), node));
      }
      return { reporting: gateways.size, windowMs, pools, nodes };
    },
  };
}

type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] };

function sumOf(pools: Map<string, Mutable<PoolSum>>, pool: string): Mutable<PoolSum> {
  let sum = pools.get(pool);
  if (sum === undefined) {
    sum = {
      requests: 0,
      failed: 0,
      refused: 0,
      outputTokens: 0,
      ttft: new LogHistogram(),
      tpot: new LogHistogram(),
      inFlight: 0,
      waiting: 0,
    };
    pools.set(pool, sum);
  }
  return sum;
}

function addCounts(pools: Map<string, Mutable<PoolSum>>, report: LoadRequest, perS: number): void {
  for (const { pool, requests, failed, refused, outputTokens, timeToFirstToken, timePerOutputToken } of report.pools) {
    const sum = sumOf(pools, pool);
    sum.requests += requests * perS;
    sum.failed += failed * perS;
    sum.refused += refused * perS;
    sum.outputTokens += outputTokens * perS;
    sum.ttft.merge(timeToFirstToken);
    sum.tpot.merge(timePerOutputToken);
  }
}

function addGauges(pools: Map<string, Mutable<PoolSum>>, report: LoadRequest): void {
  for (const { pool, inFlight, waiting } of report.pools) {
    const sum = sumOf(pools, pool);
    sum.inFlight += inFlight;
    sum.waiting += waiting;
  }
}

const FROM_BEST: readonly NodeStanding[] = ['in', 'slow-start', 'half-open', 'ejected', 'draining'];

/** A node with links to several gateways: each counts its own requests, all hear the same of its engines. */
function together(a: NodeLoad | undefined, b: NodeLoad): NodeLoad {
  if (a === undefined) return b;
  const worse = FROM_BEST.indexOf(a.standing) > FROM_BEST.indexOf(b.standing) ? a : b;
  return {
    ...b,
    inFlight: a.inFlight + b.inFlight,
    engineRunning: b.engineRunning ?? a.engineRunning,
    engineWaiting: b.engineWaiting ?? a.engineWaiting,
    kvCacheUsed: b.kvCacheUsed ?? a.kvCacheUsed,
    latencyMs: a.latencyMs === null ? b.latencyMs : Math.max(a.latencyMs, b.latencyMs ?? 0),
    standing: worse.standing,
  };
}

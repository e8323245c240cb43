/**
 * The load of this gateway's pools and nodes, for whoever looks at it (contract/load). While nobody does, requests pass by
 * a comparison and nothing is kept. Reports are best effort: one that fails is not sent again.
 */
import {
  LOAD_MS,
  LOAD_PATH,
  type LoadRequest,
  MAX_LOAD_NODES,
  MAX_LOAD_POOLS,
  type NodeLoad,
} from '@subcloud/contract/load';
import type { DecisionRecord, UsageRecord } from '@subcloud/contract/watch';
import type { Clock, Timer } from '@subcloud/kit/clock';
import { LogHistogram } from '@subcloud/kit/log-histogram';
import type { WaitingRoom } from '../capacity/waiting-room.ts';
import type { NodeLink } from '../link/node-link.ts';
import type { RoutingTable } from '../table/routing-table.ts';
import type { ControlClient } from '../watch/control-client.ts';

/** Answers whose tokens are known and whose times come next. */
const MAX_PENDING_ANSWERS = 20_000;

export interface LoadMeterOptions {
  readonly control: ControlClient;
  readonly gatewayId: string;
  readonly boot: string;
  readonly clock: Clock;
  readonly links: () => Iterable<NodeLink>;
  readonly waiting: Pick<WaitingRoom, 'waiting'>;
  readonly members: () => ReadonlyMap<string, number>;
  /** `draining`: nodes that their operators have out of service. */
  readonly table: () => Pick<RoutingTable, 'draining'>;
}

/** Of a pool without requests in this interval. */
const IDLE = { requests: 0, failed: 0, refused: 0, outputTokens: 0, timeToFirstToken: [], timePerOutputToken: [] };

class PoolCounts {
  requests = 0;
  failed = 0;
  refused = 0;
  outputTokens = 0;
  readonly timeToFirstToken = new LogHistogram();
  readonly timePerOutputToken = new LogHistogram();

  said() {
    const { requests, failed, refused, outputTokens, timeToFirstToken, timePerOutputToken } = this;
    const times = { timeToFirstToken: timeToFirstToken.sparse(), timePerOutputToken: timePerOutputToken.sparse() };
    return { requests, failed, refused, outputTokens, ...times };
  }
}

export class LoadMeter {
  readonly #options: LoadMeterOptions;
  #timer: Timer | undefined;
  #sinceMs = 0;
  #pools = new Map<string, PoolCounts>();
  #tokens = new Map<string, number>();
  #underWay = false;

  constructor(options: LoadMeterOptions) {
    this.#options = options;
  }

  /** What control last said. */
  want(wanted: boolean): void {
    if (wanted === (this.#timer !== undefined)) return;
    if (!wanted) return this.stop();
    this.#sinceMs = this.#options.clock.monotonicMs();
    this.#timer = this.#options.clock.every(LOAD_MS, () => this.#send());
  }

  counted({ requestId, completionTokens }: Pick<UsageRecord, 'requestId' | 'completionTokens'>): void {
    if (this.#timer !== undefined && this.#tokens.size < MAX_PENDING_ANSWERS)
      this.#tokens.set(requestId, completionTokens);
  }

  decided({ requestId, pool, outcome, status, firstByteMs, durationMs }: DecisionRecord): void {
    if (this.#timer === undefined) return;
    const tokens = this.#tokens.get(requestId) ?? 0;
    this.#tokens.delete(requestId);
    if (pool === null) return;
    const counts = this.#of(pool);
    if (counts === undefined) return;
    counts.requests += 1;
    counts.outputTokens += tokens;
    if (outcome !== 'answered') {
      if (status >= 500) counts.failed += 1;
      else counts.refused += 1;
    } else if (firstByteMs !== null) {
      counts.timeToFirstToken.add(firstByteMs);
      if (tokens > 1) counts.timePerOutputToken.add(Math.max(0, durationMs - firstByteMs) / (tokens - 1));
    }
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#pools = new Map();
    this.#tokens = new Map();
  }

  #of(pool: string): PoolCounts | undefined {
    const known = this.#pools.get(pool);
    if (known !== undefined || this.#pools.size >= MAX_LOAD_POOLS) return known;
    const made = new PoolCounts();
    this.#pools.set(pool, made);
    return made;
  }

  #send(): void {
    // A control that is slow gets one longer interval instead of many.
    if (this.#underWay) return;
    this.#underWay = true;
    const report = this.#report();
    void this.#options.control
      .post(LOAD_PATH, report)
      .catch(() => undefined)
      .then(() => (this.#underWay = false));
  }

  #report(): LoadRequest {
    const { gatewayId: gateway, boot, clock, links, members, waiting, table } = this.#options;
    const nowMs = clock.monotonicMs();
    const coversMs = Math.max(1, nowMs - this.#sinceMs);
    this.#sinceMs = nowMs;
    const counted = this.#pools;
    this.#pools = new Map();
    const [routable, queued, inFlight] = [members(), waiting.waiting(), new Map<string, number>()];
    const all = [...links()];
    for (const link of all)
      for (const [pool, count] of link.inFlightByPool) inFlight.set(pool, (inFlight.get(pool) ?? 0) + count);
    const { draining } = table();
    const nodes = busiest(all, MAX_LOAD_NODES).map((link) => nodeLoad(link, draining.has(link.node), nowMs));
    const names = [...new Set([...counted.keys(), ...inFlight.keys(), ...queued.keys(), ...routable.keys()])];
    const pools = names.slice(0, MAX_LOAD_POOLS).map((pool) => {
      return {
        pool,
        ...(counted.get(pool)?.said() ?? IDLE),
        inFlight: inFlight.get(pool) ?? 0,
        waiting: queued.get(pool) ?? 0,
        members: routable.get(pool) ?? 0,
      };
    });
    return { gateway, boot, coversMs, pools, nodes, nodesLeftOut: all.length - nodes.length };
  }
}

/** The `most` with the most in flight, busiest first. In time linear in all of them: only those that are taken are sorted. */
export function busiest<Link extends Pick<NodeLink, 'inFlight'>>(
  links: readonly Link[],
  most: number,
): readonly Link[] {
  const byInFlight = (a: Link, b: Link): number => b.inFlight - a.inFlight;
  if (links.length <= most) return links.toSorted(byInFlight);
  const having = new Map<number, number>();
  for (const { inFlight } of links) having.set(inFlight, (having.get(inFlight) ?? 0) + 1);
  let left = most;
  let least = Infinity;
  for (const [inFlight, count] of [...having].sort(([a], [b]) => b - a)) {
    least = inFlight;
    if (count >= left) break;
    left -= count;
  }
  const taken = links.filter(({ inFlight }) => inFlight > least || (inFlight === least && left-- > 0));
  return taken.sort(byInFlight);
}

function nodeLoad({ node, inFlight, stats, draining }: NodeLink, isDrained: boolean, nowMs: number): NodeLoad {
  const seen = stats.summary(nowMs);
  return { node, inFlight, ...seen, standing: draining || isDrained ? 'draining' : seen.standing };
}

/**
 * How long a request would probably wait at a candidate, to be compared with another: latency as the peak-EWMA has it,
 * times what is there already, of this gateway or as the engine reports, times the slow start of a node that was away.
 * Only ever compared in pairs, so it has no scale of its own.
 */
import type { EngineLoad } from '@subcloud/contract/link';
import type { Candidate } from './candidate.ts';

/** From this share of its KV cache on, an engine begins to preempt what it has: each request there costs more. */
const KV_CACHE_FULL = 0.8;
const KV_CACHE_FACTOR = 5;
/** Faster than a network's own jitter is not told apart. */
const MIN_LATENCY_MS = 1;

export interface Scored {
  /** Requests there, with the new one. */
  readonly load: number;
  /** Null where the node has answered nothing of this kind yet. */
  readonly latencyMs: number | null;
}

export interface ScoreView {
  readonly model: string;
  readonly stream: boolean;
  readonly monotonicMs: number;
}

export function score({ link, model }: Candidate, view: ScoreView): Scored {
  const { stats } = link;
  const nowMs = view.monotonicMs;
  const reported = stats.load(view.model, nowMs);
  const under = Math.max(link.inFlight, reported === undefined ? 0 : reported.running + reported.waiting);
  const load = (under + 1) * cacheFactor(reported) * stats.health.loadFactor(nowMs) * model.health.loadFactor(nowMs);
  const latencyMs = model.latency(view.stream).at(nowMs);
  return { load, latencyMs: latencyMs === null ? null : Math.max(MIN_LATENCY_MS, latencyMs) };
}

/** Negative where the first is the better one. Without a latency of both, by load alone: unknown is neither fast nor slow. */
export function compare(first: Candidate, second: Candidate, view: ScoreView): number {
  const [a, b] = [score(first, view), score(second, view)];
  const [most, otherMost] = [first.node.concurrency, second.node.concurrency];
  // By the share of its concurrency where both say how much they take at once.
  const shares = most !== null && otherMost !== null;
  const loadA = shares ? a.load / most : a.load;
  const loadB = shares ? b.load / otherMost : b.load;
  if (a.latencyMs === null || b.latencyMs === null) return loadA - loadB;
  return loadA * a.latencyMs - loadB * b.latencyMs;
}

function cacheFactor(reported: EngineLoad | undefined): number {
  const used = reported?.kvCacheUsed ?? 0;
  if (used <= KV_CACHE_FULL) return 1;
  return 1 + ((KV_CACHE_FACTOR - 1) * (Math.min(1, used) - KV_CACHE_FULL)) / (1 - KV_CACHE_FULL);
}

/**
 * What a gateway says of its load while somebody looks (`subcloud top`): control asks for it in its answer to an
 * acknowledgement, and it is sent until that is no longer so. Kept in memory only, and for seconds.
 */
import * as z from 'zod';

export const LOAD_PATH = '/internal/v1/load';
/** How often it is sent while it is wanted. */
export const LOAD_MS = 1_000;
/** Rates and quantiles are over so long. */
export const LOAD_WINDOW_MS = 10_000;
export const MAX_LOAD_POOLS = 2_000;
/** Those with the most in flight; how many are left out is said. */
export const MAX_LOAD_NODES = 2_000;

/** `slow-start`: it is back from an ejection, with a share that grows. `half-open`: ejected, and due for a try. */
export const NODE_STANDINGS = ['in', 'slow-start', 'half-open', 'ejected', 'draining'] as const;
export type NodeStanding = (typeof NODE_STANDINGS)[number];

const count = z.int().nonnegative();
/** Pairs of bucket and count (kit/log-histogram). */
const histogram = z.array(z.tuple([z.int().min(0).max(79), count])).max(80);

export const poolLoad = z.strictObject({
  pool: z.string().max(63),
  /** That ended in this interval, and of them those that failed by fault of node or network, or of the caller. */
  requests: count,
  failed: count,
  refused: count,
  outputTokens: count,
  timeToFirstToken: histogram,
  timePerOutputToken: histogram,
  inFlight: count,
  waiting: count,
  /** Nodes that the gateway may route to. */
  members: count,
});
export const nodeLoad = z.strictObject({
  node: z.string().max(64),
  /** From this gateway. */
  inFlight: count,
  /** As its engines say; null: they say nothing. */
  engineRunning: count.nullable(),
  engineWaiting: count.nullable(),
  kvCacheUsed: z.number().min(0).max(1).nullable(),
  /** Peak-EWMA of the time to the first byte, of the slowest model; null: nothing was seen. */
  latencyMs: z.number().nonnegative().nullable(),
  standing: z.enum(NODE_STANDINGS),
});
export const loadRequest = z.strictObject({
  gateway: z.string().max(67),
  boot: z.string().max(64),
  /** How long the interval was. */
  coversMs: z.number().positive(),
  pools: z.array(poolLoad).max(MAX_LOAD_POOLS),
  nodes: z.array(nodeLoad).max(MAX_LOAD_NODES),
  nodesLeftOut: count,
});
export type LoadRequest = z.infer<typeof loadRequest>;
export type PoolLoad = z.infer<typeof poolLoad>;
export type NodeLoad = z.infer<typeof nodeLoad>;

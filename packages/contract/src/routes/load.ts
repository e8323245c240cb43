/** What is going on at this moment: pools and nodes, as far as each caller may see them. */
import * as z from 'zod';
import { NODE_STANDINGS } from '../load.ts';
import { defineRoutes } from './route.ts';
import { MEMBERSHIP_STATES } from './shapes.ts';

const quantiles = z.strictObject({ p50: z.number(), p95: z.number() });

export const poolLoadShape = z.strictObject({
  name: z.string(),
  requestsPerS: z.number(),
  /** Of them: by fault of node or network. */
  failedPerS: z.number(),
  /** Of them: by the caller's, or for want of a place. */
  refusedPerS: z.number(),
  outputTokensPerS: z.number(),
  /** Time to the first token, ms; null: no answer in the window. */
  ttftMs: quantiles.nullable(),
  /** Time per output token after the first, ms. */
  tpotMs: quantiles.nullable(),
  inFlight: z.int(),
  waiting: z.int(),
  /** Memberships by state; a state that none is in is left out. */
  members: z.partialRecord(z.enum(MEMBERSHIP_STATES), z.int()),
});
export const nodeLoadShape = z.strictObject({
  id: z.string(),
  name: z.string(),
  online: z.boolean(),
  /** Null: no gateway said anything of it. */
  inFlight: z.int().nullable(),
  engineRunning: z.int().nullable(),
  engineWaiting: z.int().nullable(),
  kvCacheUsed: z.number().nullable(),
  latencyMs: z.number().nullable(),
  /** `draining` where its operator drains it, else the worst that a gateway has of it; null: no gateway said anything of it. */
  standing: z.enum(NODE_STANDINGS).nullable(),
});

export const loadRoutes = defineRoutes({
  getLoad: {
    method: 'get',
    path: '/api/v1/load',
    auth: 'credential',
    action: 'load.list',
    summary: 'What pools and nodes carry now: pools that the caller may explain, nodes that it may read',
    status: 200,
    response: z.strictObject({
      /** Gateways that reported within the window, of those with a lease; null for who may not list gateways. */
      gateways: z.strictObject({ reporting: z.int(), leased: z.int() }).nullable(),
      /** How far back rates and quantiles go; 0: no gateway has reported yet, which takes some 3 s after the first look. */
      windowMs: z.number(),
      pools: z.array(poolLoadShape),
      nodes: z.array(nodeLoadShape),
      /** Of the nodes that the caller may read, those that `nodes` has no room for: the least busy. */
      nodesLeftOut: z.int(),
    }),
    errors: [],
  },
});

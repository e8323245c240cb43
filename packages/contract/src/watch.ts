/**
 * Between gateway and control, always opened by the gateway. The watch is one GET whose answer never ends: JSON lines
 * that carry the table, a snapshot first and deltas after. Everything the other way is a small POST.
 *
 * The lease: the gateway asks for it with every acknowledgement, and counts it from the moment it *sent* the request, by
 * its own monotonic clock; control counts from the moment it *received* it. So control's end is never before the
 * gateway's, however long anything was under way. Control grants none to a gateway that lags behind a published table.
 *
 * Shares: with each acknowledgement a gateway says which part of every limit it hands out, and control answers which part
 * it is to have. Parts of different gateways never overlap, for as long as leases live; a gateway whose lease has ended
 * hands out nothing until it is given a part again.
 *
 * Versions: 1, 2026-11. 2, 2026-11: shares of limits; which credentials were used; what is in flight at drained nodes.
 */
import * as z from 'zod';
import { signedDocument } from './documents.ts';
import { receiptFields, routingBatch, servingBatch } from './receipts.ts';
import type { VersionRange } from './versions.ts';

export const WATCH_VERSION = 2;
/** A gateway of watch 1 knows no shares: it would hand out every limit whole beside the others. */
export const WATCH_SUPPORT_FLOOR = 2;
/** What this release speaks (versions.ts). */
export const WATCH_VERSIONS: VersionRange = { oldest: WATCH_SUPPORT_FLOOR, newest: WATCH_VERSION };
/** On the answer to the watch: which versions control took. Left out: those that the gateway named as its newest. */
export const WATCH_HEADERS = { version: 'x-subcloud-watch-version', table: 'x-subcloud-table-format' } as const;
/** Control sends a `ping` at least this often; a gateway that hears nothing for three of them opens a new watch. */
export const WATCH_PING_MS = 2_000;
/** A gateway acknowledges a table at once, and again at least this often, to renew its lease. */
export const WATCH_ACK_MS = 2_000;
/** A gateway that has not acknowledged a table this long after it was published gets no new lease. */
export const WATCH_LAG_MS = 10_000;
/** Rows in one line, so that neither loop stalls on a large table. */
export const WATCH_ROWS_PER_LINE = 64;

export const WATCH_PATHS = {
  watch: '/internal/v1/watch',
  acknowledge: '/internal/v1/acknowledge',
  certificate: '/internal/v1/gateway-certificate',
  reports: '/internal/v1/reports',
  usage: '/internal/v1/usage',
  decisions: '/internal/v1/decisions',
  receipts: '/internal/v1/receipts',
  dayUsage: '/internal/v1/day-usage',
} as const;

/**
 * Query of the watch: `gateway`, `boot` (new at every start of the gateway), `version` (WATCH_VERSION), `table` (TABLE_FORMAT), and
 * `oldestVersion` and `oldestTable`, the oldest of each that the gateway speaks; left out: the newest alone.
 */
export type WatchMessage =
  | {
      readonly type: 'begin';
      readonly mode: 'snapshot' | 'delta';
      readonly tableVersion: number;
      readonly epoch: number;
    }
  /** `set` maps keys to row values; rows between begin and commit belong to that table version. */
  | {
      readonly type: 'rows';
      readonly set: readonly (readonly [key: string, value: unknown])[];
      readonly delete: readonly string[];
    }
  | { readonly type: 'commit'; readonly tableVersion: number; readonly nowMs: number }
  | { readonly type: 'ping'; readonly nowMs: number };

export const LINK_REFUSALS = ['second-link', 'version'] as const;
export type LinkRefusal = (typeof LINK_REFUSALS)[number];

export const gatewayId = z.string().regex(/^gw_[0-9a-z]{1,64}$/);
const nodeId = z.string().regex(/^nod_[0-9a-z]{1,64}$/);

/** A part of every limit: of [0, 1), `hi` not included; empty where they are equal. */
export const shareInterval = z.strictObject({ lo: z.number().min(0).max(1), hi: z.number().min(0).max(1) });
export type ShareInterval = z.infer<typeof shareInterval>;

export const acknowledgeRequest = z.strictObject({
  gateway: gatewayId,
  boot: z.string().max(64),
  tableVersion: z.int().nonnegative(),
  /** The gateway has stopped: it serves nobody from now on, and its lease ends here. */
  released: z.literal(true).optional(),
  /** What the gateway hands out now. `sequence` grows with each acknowledgement of a boot: an overtaken one changes nothing. */
  share: shareInterval.extend({ sequence: z.int().nonnegative() }).optional(),
});
export type AcknowledgeRequest = z.infer<typeof acknowledgeRequest>;
export interface AcknowledgeResponse {
  /** False: the gateway lags behind or is not known; its lease runs out unless it catches up. */
  readonly lease: boolean;
  readonly leaseMs: number;
  /** Control's clock when it answered. */
  readonly nowMs: number;
  /** What the gateway is to hand out; left out: as before. `idleMs`: how long nobody has handed out any of what is new in it. */
  readonly share?: ShareInterval & { readonly idleMs: number };
  /** Somebody looks at the load: report it (load.ts) until an answer does not say so. */
  readonly load?: true;
}

/** What has been used of a UTC day, as far as control has stored it. `day` counts from the epoch. */
export const dayUsageRequest = z.strictObject({ gateway: gatewayId, day: z.int().nonnegative() });
export type DayUsageRequest = z.infer<typeof dayUsageRequest>;
export const dayUsageResponse = z.strictObject({
  used: z.array(
    z.strictObject({
      pool: z.string(),
      principal: z.string(),
      credential: z.string(),
      tokens: z.number().nonnegative(),
    }),
  ),
});
export type DayUsageResponse = z.infer<typeof dayUsageResponse>;

export const certificateRequest = z.strictObject({
  gateway: gatewayId,
  publicKey: z.string().max(64),
  tlsKeySha256: z.string().length(64).nullable(),
  /** Where agents reach this gateway. */
  url: z.url().max(512),
});
export type CertificateRequest = z.infer<typeof certificateRequest>;
export const certificateResponse = z.strictObject({ certificate: signedDocument });
export type CertificateResponse = z.infer<typeof certificateResponse>;

const linkState = z.strictObject({
  node: nodeId,
  address: z.string().max(64),
  /** Of the node document that the agent holds; zero where it has none. */
  epoch: z.int().nonnegative(),
  serial: z.int().nonnegative(),
});
export const reportsRequest = z.strictObject({
  gateway: gatewayId,
  boot: z.string().max(64),
  /** Present after each new watch, and then it is all of the gateway's links: control forgets every other. */
  links: z.array(linkState).max(100_000).optional(),
  events: z
    .array(
      z.discriminatedUnion('type', [
        z.strictObject({ type: z.literal('linked'), ...linkState.shape }),
        z.strictObject({ type: z.literal('unlinked'), node: nodeId }),
        z.strictObject({ type: z.literal('alive'), nodes: z.array(nodeId).max(100_000) }),
        z.strictObject({ type: z.literal('declaration'), node: nodeId, document: signedDocument }),
        z.strictObject({
          type: z.literal('document-acknowledged'),
          node: nodeId,
          epoch: z.int().nonnegative(),
          serial: z.int().nonnegative(),
        }),
        /** Of the pools that the document at this position is draining: those in which the node has nothing in flight. */
        z.strictObject({
          type: z.literal('drained'),
          node: nodeId,
          epoch: z.int().nonnegative(),
          serial: z.int().nonnegative(),
          pools: z.array(z.string().max(63)).max(1024),
        }),
        /** At a node that is out of service by table `tableVersion`: requests of this gateway that are still under way there. */
        z.strictObject({
          type: z.literal('in-flight'),
          node: nodeId,
          tableVersion: z.int().nonnegative(),
          requests: z.int().nonnegative(),
        }),
        /** Credentials that were used, each told at most once a minute. */
        z.strictObject({
          type: z.literal('used'),
          credentials: z.array(z.tuple([z.string().max(64), z.int().nonnegative()])).max(10_000),
        }),
        /**
         * A link that was refused. `second-link`: whoever dialled proved the node's key, while another link of it answers.
         * `version`: it names itself the node and speaks no version in common, so nothing of it is proved.
         */
        z.strictObject({
          type: z.literal('link-refused'),
          node: nodeId,
          why: z.enum(LINK_REFUSALS),
          address: z.string().max(64),
          says: z.string().max(256),
        }),
        /** A 421 that is no race: agent and table disagree, somebody is faulty or lying. */
        z.strictObject({
          type: z.literal('lock-refusal'),
          node: nodeId,
          pool: z.string().max(63),
          model: z.string().max(256),
          tableVersion: z.int().nonnegative(),
          requestId: z.string().max(64),
        }),
      ]),
    )
    .max(10_000),
});
export type ReportsRequest = z.infer<typeof reportsRequest>;
export type ReportEvent = ReportsRequest['events'][number];

/** One per answer whose end a caller saw (or that was cut short); `sequence` counts from 1 per gateway, without gaps. */
export const usageRecord = z.strictObject({
  sequence: z.int().positive(),
  requestId: z.string().max(64),
  atMs: z.int().nonnegative(),
  principal: z.string().max(160),
  credential: z.string().max(64),
  pool: z.string().max(63),
  model: z.string().max(256),
  node: nodeId,
  /** Nodes that answered a part of it before `node` did, and broke off. */
  continuedFrom: z.array(nodeId).min(1).max(16).optional(),
  /** Tokens as the engine counted them, or estimated from the text relayed. */
  promptTokens: z.int().nonnegative(),
  completionTokens: z.int().nonnegative(),
  estimated: z.boolean(),
  /** HTTP status of the answer; 499 where the caller left, 502 where the node broke off. */
  status: z.int(),
  durationMs: z.number().nonnegative(),
  receipt: receiptFields.optional(),
});
export type UsageRecord = z.infer<typeof usageRecord>;
export const usageRequest = z.strictObject({
  gateway: gatewayId,
  records: z.array(usageRecord).min(1).max(5_000),
  /** The gateway's signature over the routing halves of these records; left out while it has no certificate. */
  receipts: routingBatch.optional(),
});
export type UsageRequest = z.infer<typeof usageRequest>;
export interface UsageResponse {
  /** Everything up to and with this sequence is stored for good. */
  readonly acknowledged: number;
}

/** Why a request went where it went; kept 24 h. Holds nothing of prompts, answers or secrets. */
export const decisionRecord = z.strictObject({
  requestId: z.string().max(64),
  clientRequestId: z.string().max(128).nullable(),
  atMs: z.int().nonnegative(),
  principal: z.string().max(160).nullable(),
  pool: z.string().max(63).nullable(),
  /** What named the pool. */
  poolBy: z.enum(['path', 'host', 'header', 'binding', 'token', 'default']).nullable(),
  revision: z.int().nonnegative().nullable(),
  effectiveHash: z.string().max(64).nullable(),
  tableVersion: z.int().nonnegative(),
  model: z.string().max(256).nullable(),
  /** Sizes at the first pick: nodes that could serve, and the others by reason. */
  candidates: z.int().nonnegative(),
  notTaken: z.record(z.string().max(64), z.int().nonnegative()),
  attempts: z
    .array(
      z.strictObject({
        node: nodeId,
        /** Why this one of those that were compared. */
        by: z.string().max(32).optional(),
        tableVersion: z.int().nonnegative(),
        considered: z.array(z.strictObject({ node: nodeId, inFlight: z.int().nonnegative() })).max(2),
        outcome: z.string().max(64),
        /** It went on with an answer of which this many bytes of text had been sent. */
        continuesAfterBytes: z.int().nonnegative().optional(),
        startedAfterMs: z.number(),
        endedAfterMs: z.number(),
      }),
    )
    .max(16),
  /** Limits in dry run that would have refused it: `caller requestsPerMinute`. */
  overLimit: z.array(z.string().max(64)).max(12).optional(),
  /** How long it waited for a place, before its first try or between two; left out: it did not. */
  queuedMs: z.number().nonnegative().optional(),
  outcome: z.string().max(64),
  status: z.int(),
  firstByteMs: z.number().nullable(),
  durationMs: z.number(),
});
export type DecisionRecord = z.infer<typeof decisionRecord>;
export const decisionsRequest = z.strictObject({
  gateway: gatewayId,
  records: z.array(decisionRecord).min(1).max(5_000),
});
export type DecisionsRequest = z.infer<typeof decisionsRequest>;

/** Serving halves of receipts, as agents signed them; a batch that is not what its node signed is dropped. */
export const receiptsRequest = z.strictObject({
  gateway: gatewayId,
  batches: z
    .array(z.strictObject({ node: nodeId, ...servingBatch.shape }))
    .min(1)
    .max(256),
});
export type ReceiptsRequest = z.infer<typeof receiptsRequest>;

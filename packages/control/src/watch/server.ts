/**
 * Control's side of the channel with gateways, whatever it comes by: the Unix socket in a 0700 folder that callers never
 * reach, or mutual TLS (tls-listener.ts). Each message names its gateway, and counts only if the peer may speak as it.
 */
import { chmodSync, rmSync } from 'node:fs';
import { type IncomingMessage, type RequestListener, type Server, type ServerResponse, createServer } from 'node:http';
import type * as z from 'zod';
import { AppError, toEnvelope } from '@subcloud/contract/errors';
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import {
  type AcknowledgeRequest,
  type AcknowledgeResponse,
  type CertificateRequest,
  type DayUsageRequest,
  type DayUsageResponse,
  type DecisionsRequest,
  type ReceiptsRequest,
  type UsageRequest,
  type UsageResponse,
  WATCH_PATHS,
  WATCH_PING_MS,
  acknowledgeRequest,
  certificateRequest,
  dayUsageRequest,
  decisionsRequest,
  gatewayId,
  receiptsRequest,
  reportsRequest,
  usageRequest,
} from '@subcloud/contract/watch';
import type { SignedDocument } from '@subcloud/contract/documents';
import { LOAD_PATH, loadRequest } from '@subcloud/contract/load';
import type { Clock } from '@subcloud/kit/clock';
import { jsonLine } from '@subcloud/kit/json-lines';
import type { Log } from '@subcloud/kit/log';
import { HEARTBEAT_MS, HEARTBEATS_MISSED } from '@subcloud/contract/link';
import type { PublishedTable } from '../compile/published-table.ts';
import type { ReportSink } from '../facts/reports.ts';
import type { Loads } from '../load/loads.ts';
import type { Shares } from '../limits/shares.ts';
import type { World } from '../world/world.ts';
import { agreedVersions } from './agreed-versions.ts';
import { type GatewayPeer, admitAs, admitKey } from './gateway-peer.ts';
import { type Leases, leaseKey } from './leases.ts';
import { deltaLines, snapshotLines } from './lines.ts';
import { readBody } from './read-body.ts';
import { openWatchStream } from './watch-stream.ts';

export interface WatchOptions {
  readonly world: World;
  readonly table: PublishedTable;
  readonly leases: Leases;
  readonly reports: ReportSink;
  readonly loads: Pick<Loads, 'wanted' | 'reported'>;
  readonly epoch: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly certify: (request: CertificateRequest) => Promise<SignedDocument>;
  readonly storeUsage: (request: UsageRequest) => Promise<UsageResponse>;
  readonly shares: Shares;
  readonly dayUsage: (request: DayUsageRequest) => Promise<DayUsageResponse>;
  readonly storeDecisions: (request: DecisionsRequest) => Promise<void>;
  readonly storeReceipts: (request: ReceiptsRequest) => Promise<void>;
  /** A lease was granted: remembered across restarts of control. */
  readonly leased: (gateway: string, boot: string) => Promise<void>;
  /** A process said that it serves nobody any more. */
  readonly released: (gateway: string, boot: string) => Promise<void>;
  /** Whether this replica leads, at this moment: else it publishes nothing and grants no lease. */
  readonly held: () => boolean;
}

const MAX_BODY_BYTES = 64 * 1_048_576;

export interface WatchHandler {
  /** For the requests of connections of this peer. */
  readonly listener: (peer: GatewayPeer) => RequestListener;
  readonly watching: (gateway: string) => boolean;
  /** Ends the watch of one gateway, or of all. */
  cut(gateway?: string): void;
}

export function createWatchHandler(options: WatchOptions): WatchHandler {
  const watchers = new Map<string, ServerResponse>();
  return {
    listener: (peer) => (request, response) => {
      handle(options, watchers, peer, request, response).catch((error: unknown) => {
        const fault = AppError.from(error);
        if (fault.code === 'platform.internal')
          options.log.error({ err: error, url: request.url }, 'a gateway request failed');
        if (response.headersSent) response.destroy();
        else sendFault(response, fault);
      });
    },
    watching: (gateway) => watchers.has(gateway),
    cut(gateway) {
      for (const [id, response] of watchers) if (gateway === undefined || gateway === id) response.destroy();
    },
  };
}

export function sendFault(response: ServerResponse, fault: AppError): void {
  response.writeHead(fault.status, { 'content-type': 'application/json' }).end(JSON.stringify(toEnvelope(fault)));
}

/** The socket of gateways that share control's folder. */
export async function startWatchSocket(path: string, watch: WatchHandler): Promise<{ close(): Promise<void> }> {
  const server = createServer(watch.listener({ by: 'socket' }));
  server.requestTimeout = 0;
  rmSync(path, { force: true });
  await listen(server, path);
  chmodSync(path, 0o600);
  return {
    async close() {
      watch.cut();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
}

async function handle(
  options: WatchOptions,
  watchers: Map<string, ServerResponse>,
  peer: GatewayPeer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  requireLead(options);
  const { world } = options;
  const url = new URL(request.url ?? '/', 'http://control');
  const answer = (value: unknown): void =>
    void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  switch (`${request.method} ${url.pathname}`) {
    case `GET ${WATCH_PATHS.watch}`:
      return watch(options, watchers, peer, url, response);
    case `POST ${WATCH_PATHS.acknowledge}`:
      return answer(await acknowledge(options, peer, await body(request, acknowledgeRequest)));
    case `POST ${WATCH_PATHS.certificate}`: {
      const asked = await body(request, certificateRequest);
      admitKey(world, peer, asked.gateway, asked.publicKey);
      return answer({ certificate: await options.certify(asked) });
    }
    case `POST ${WATCH_PATHS.reports}`: {
      const report = await body(request, reportsRequest);
      admitAs(world, peer, report.gateway);
      await options.reports.receive(report);
      return answer({});
    }
    case `POST ${WATCH_PATHS.usage}`: {
      const usage = await body(request, usageRequest);
      admitAs(world, peer, usage.gateway);
      return answer(await options.storeUsage(usage));
    }
    case `POST ${WATCH_PATHS.dayUsage}`: {
      const asked = await body(request, dayUsageRequest);
      admitAs(world, peer, asked.gateway);
      return answer(await options.dayUsage(asked));
    }
    case `POST ${WATCH_PATHS.decisions}`: {
      const decisions = await body(request, decisionsRequest);
      admitAs(world, peer, decisions.gateway);
      await options.storeDecisions(decisions);
      return answer({});
    }
    case `POST ${WATCH_PATHS.receipts}`: {
      const receipts = await body(request, receiptsRequest);
      admitAs(world, peer, receipts.gateway);
      await options.storeReceipts(receipts);
      return answer({});
    }
    case `POST ${LOAD_PATH}`: {
      const load = await body(request, loadRequest);
      admitAs(world, peer, load.gateway);
      options.loads.reported(load);
      return answer({});
    }
    default:
      throw new AppError('client.not_found');
  }
}

function requireLead({ held }: WatchOptions): void {
  if (!held()) throw new AppError('platform.standby', { retryAfterS: 2 });
}

async function acknowledge(
  options: WatchOptions,
  peer: GatewayPeer,
  asked: AcknowledgeRequest,
): Promise<AcknowledgeResponse> {
  const { gateway, boot, tableVersion, share: said } = asked;
  const { leases, shares, table, clock } = options;
  // The body may have taken its time.
  requireLead(options);
  // Nothing is waited for between this and the lease: a gateway that was removed gets none.
  admitAs(options.world, peer, gateway);
  const presence = peer.by === 'socket' ? 'sole' : 'many';
  const key = leaseKey(gateway, boot, presence);
  if (asked.released === true) {
    leases.release(gateway, boot);
    shares.release(key, boot);
    await options.released(gateway, boot);
    return { lease: false, leaseMs: TABLE_LEASE_MS, nowMs: clock.nowMs() };
  }
  const lease = tableVersion <= table.version && leases.acknowledge(gateway, boot, tableVersion, presence);
  // Who gets no new lease keeps its share until the old one ends, and says so again then.
  const share =
    lease && said !== undefined
      ? { share: shares.acknowledge(key, boot, said, clock.monotonicMs() + TABLE_LEASE_MS) }
      : {};
  if (lease) await options.leased(gateway, boot);
  requireLead(options);
  const load = options.loads.wanted() ? ({ load: true } as const) : {};
  return { lease, leaseMs: TABLE_LEASE_MS, nowMs: clock.nowMs(), ...share, ...load };
}

function watch(
  options: WatchOptions,
  watchers: Map<string, ServerResponse>,
  peer: GatewayPeer,
  url: URL,
  response: ServerResponse,
): void {
  const gateway = gatewayId.safeParse(url.searchParams.get('gateway'));
  if (!gateway.success) throw new AppError('client.invalid_request', { message: 'the watch names no gateway' });
  admitAs(options.world, peer, gateway.data);
  const headers = agreedVersions(url.searchParams, options.log, gateway.data);
  const { table, clock, epoch } = options;
  watchers.get(gateway.data)?.destroy();
  watchers.set(gateway.data, response);
  response.writeHead(200, {
    ...headers,
    'content-type': 'application/jsonl',
    'cache-control': 'no-store',
  });
  // One synchronous turn from snapshot to subscription: no version falls between them.
  const stream = openWatchStream(response, snapshotLines(table, epoch, clock.nowMs()), options.held);
  const unsubscribe = table.subscribe((delta) => {
    for (const line of deltaLines(delta, epoch, clock.nowMs())) stream.send(line);
  });
  const ping = clock.every(WATCH_PING_MS, () => stream.ping(jsonLine({ type: 'ping', nowMs: clock.nowMs() })));
  response.on('close', () => {
    unsubscribe();
    ping.cancel();
    if (watchers.get(gateway.data) !== response) return;
    watchers.delete(gateway.data);
    clock.after(HEARTBEAT_MS * HEARTBEATS_MISSED, () => {
      if (!watchers.has(gateway.data)) options.reports.forget(gateway.data);
    });
  });
}

function body<Schema extends z.ZodType>(request: IncomingMessage, schema: Schema): Promise<z.infer<Schema>> {
  return readBody(request, schema, MAX_BODY_BYTES);
}

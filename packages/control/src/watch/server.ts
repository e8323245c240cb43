/**
 * Control's side of the channel with gateways, on a Unix socket in a 0700 folder that callers never reach. Whoever can
 * open the socket is a gateway of this network.
 */
import { chmodSync, rmSync } from 'node:fs';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type * as z from 'zod';
import { AppError, toEnvelope } from '@subcloud/contract/errors';
import { TABLE_FORMAT, TABLE_LEASE_MS } from '@subcloud/contract/table';
import {
  type AcknowledgeResponse,
  type CertificateRequest,
  type DecisionsRequest,
  type UsageRequest,
  type UsageResponse,
  WATCH_PATHS,
  WATCH_PING_MS,
  WATCH_VERSION,
  acknowledgeRequest,
  certificateRequest,
  decisionsRequest,
  gatewayId,
  reportsRequest,
  usageRequest,
} from '@subcloud/contract/watch';
import type { SignedDocument } from '@subcloud/contract/documents';
import type { Clock } from '@subcloud/kit/clock';
import { jsonLine } from '@subcloud/kit/json-lines';
import type { Log } from '@subcloud/kit/log';
import { HEARTBEAT_MS, HEARTBEATS_MISSED } from '@subcloud/contract/link';
import type { PublishedTable } from '../compile/published-table.ts';
import type { ReportSink } from '../facts/reports.ts';
import type { Leases } from './leases.ts';
import { deltaLines, snapshotLines } from './lines.ts';

export interface WatchServerOptions {
  readonly socketPath: string;
  readonly table: PublishedTable;
  readonly leases: Leases;
  readonly reports: ReportSink;
  readonly epoch: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly certify: (request: CertificateRequest) => Promise<SignedDocument>;
  readonly storeUsage: (request: UsageRequest) => Promise<UsageResponse>;
  readonly storeDecisions: (request: DecisionsRequest) => Promise<void>;
  /** A lease was granted: remembered across restarts of control. */
  readonly leased: (gateway: string) => Promise<void>;
}

const MAX_BODY_BYTES = 64 * 1_048_576;
/** A gateway that reads slower than this much behind is cut; it comes back with a snapshot. */
const MAX_WATCH_BUFFER_BYTES = 64 * 1_048_576;

export async function startWatchServer(options: WatchServerOptions): Promise<{ close(): Promise<void> }> {
  const watchers = new Map<string, ServerResponse>();
  const server = createServer((request, response) => {
    handle(options, watchers, request, response).catch((error: unknown) => {
      const fault = AppError.from(error);
      if (fault.code === 'platform.internal')
        options.log.error({ err: error, url: request.url }, 'a gateway request failed');
      if (response.headersSent) response.destroy();
      else
        response.writeHead(fault.status, { 'content-type': 'application/json' }).end(JSON.stringify(toEnvelope(fault)));
    });
  });
  server.requestTimeout = 0;
  rmSync(options.socketPath, { force: true });
  await listen(server, options.socketPath);
  chmodSync(options.socketPath, 0o600);
  return {
    async close() {
      for (const response of watchers.values()) response.destroy();
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
  options: WatchServerOptions,
  watchers: Map<string, ServerResponse>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://control');
  const answer = (value: unknown): void =>
    void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  switch (`${request.method} ${url.pathname}`) {
    case `GET ${WATCH_PATHS.watch}`:
      return watch(options, watchers, url, response);
    case `POST ${WATCH_PATHS.acknowledge}`: {
      const { gateway, boot, tableVersion } = await body(request, acknowledgeRequest);
      const lease = tableVersion <= options.table.version && options.leases.acknowledge(gateway, boot, tableVersion);
      if (lease) await options.leased(gateway);
      return answer({ lease, leaseMs: TABLE_LEASE_MS, nowMs: options.clock.nowMs() } satisfies AcknowledgeResponse);
    }
    case `POST ${WATCH_PATHS.certificate}`:
      return answer({ certificate: await options.certify(await body(request, certificateRequest)) });
    case `POST ${WATCH_PATHS.reports}`:
      await options.reports.receive(await body(request, reportsRequest));
      return answer({});
    case `POST ${WATCH_PATHS.usage}`:
      return answer(await options.storeUsage(await body(request, usageRequest)));
    case `POST ${WATCH_PATHS.decisions}`:
      await options.storeDecisions(await body(request, decisionsRequest));
      return answer({});
    default:
      throw new AppError('client.not_found');
  }
}

function watch(
  options: WatchServerOptions,
  watchers: Map<string, ServerResponse>,
  url: URL,
  response: ServerResponse,
): void {
  const gateway = gatewayId.safeParse(url.searchParams.get('gateway'));
  if (!gateway.success) throw new AppError('client.invalid_request', { message: 'the watch names no gateway' });
  const version = url.searchParams.get('version');
  const format = url.searchParams.get('table');
  if (version !== String(WATCH_VERSION) || format !== String(TABLE_FORMAT)) {
    throw new AppError('platform.version_unsupported', {
      message: `this control speaks watch ${WATCH_VERSION} and table ${TABLE_FORMAT}, the gateway asks for ${version} and ${format}`,
    });
  }
  const { table, clock, epoch } = options;
  watchers.get(gateway.data)?.destroy();
  watchers.set(gateway.data, response);
  response.writeHead(200, { 'content-type': 'application/jsonl', 'cache-control': 'no-store' });
  const send = (line: string): void => {
    response.write(line);
    if (response.writableLength > MAX_WATCH_BUFFER_BYTES) response.destroy();
  };
  // One synchronous turn from snapshot to subscription: no version falls between them.
  for (const line of snapshotLines(table, epoch, clock.nowMs())) response.write(line);
  const unsubscribe = table.subscribe((delta) => {
    for (const line of deltaLines(delta, epoch, clock.nowMs())) send(line);
  });
  const ping = clock.every(WATCH_PING_MS, () => send(jsonLine({ type: 'ping', nowMs: clock.nowMs() })));
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

async function body<Schema extends z.ZodType>(request: IncomingMessage, schema: Schema): Promise<z.infer<Schema>> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.byteLength;
    if (bytes > MAX_BODY_BYTES) throw new AppError('client.too_large');
    parts.push(part);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch {
    throw new AppError('client.invalid_body');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new AppError('client.invalid_request', {
      message: `the report has another shape: ${parsed.error.issues[0]?.path.join('.') ?? ''}`,
    });
  return parsed.data;
}

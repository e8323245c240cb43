/**
 * The gateway, wired. It routes by memory alone: the table that the watch keeps, the links that agents dialled, and a
 * journal whose write(2) goes to the page cache. When control is away it serves on until its lease ends, then nobody.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type TraceEnvironment, startTracing } from '@subcloud/kit/tracing/start-tracing';
import type { Clock, Random } from '@subcloud/kit/clock';
import { newId, systemClock, systemRandom } from '@subcloud/kit/clock';
import { type Log, createLog } from '@subcloud/kit/log';
import type { GatewayConfig } from './config.ts';
import type { Readiness } from './endpoints/health.ts';
import { trustedProxies } from './front/trusted-proxies.ts';
import { passThrough } from './endpoints/pass-through.ts';
import { type CertificateKeeper, keepCertificate, loadGatewayKeys } from './link/gateway-identity.ts';
import { type LinkHub, type LinkHubOptions, createLinkHub } from './link/link-hub.ts';
import { watchDrainedNodes } from './link/drained-nodes.ts';
import { refusedLinks } from './link/refused-links.ts';
import { type UpgradedSocket, acceptUpgrade } from './link/upgrade.ts';
import { noteLastUse } from './access/last-use.ts';
import { Limiter } from './limits/limiter.ts';
import { keepShare } from './limits/share-keeper.ts';
import { ReserveKeeper } from './capacity/reserves.ts';
import { WaitingRoom } from './capacity/waiting-room.ts';
import { joinWhenLinked, joinsWhenLinked, openPorts, urlOf } from './front/shared-port.ts';
import { RetryBudget } from './request/retry-budget.ts';
import { createPublicServer, onUpgrade } from './listen.ts';
import { requestListener } from './register.ts';
import { activeRequests } from './request/active-requests.ts';
import { byteBudget } from './request/byte-budget.ts';
import type { GatewayObserver, RequestDeps } from './request/request-deps.ts';
import { type GatewayMetrics, gatewayMetrics } from './metrics/gateway-metrics.ts';
import { LoadMeter } from './load/load-meter.ts';
import { RequestSpans } from './tracing/request-spans.ts';
import { EMPTY_TABLE, type RoutingTable } from './table/routing-table.ts';
import { type Journal, openJournal } from './usage/journal.ts';
import type { ReceiptSigner } from './usage/sign-receipts.ts';
import { type Uploads, startUploads } from './usage/upload.ts';
import { controlClient } from './watch/control-client.ts';
import { openControl } from './watch/open-control.ts';
import { controlTime } from './watch/control-time.ts';
import { createLease } from './watch/lease.ts';
import { type Reports, startReports } from './watch/reports.ts';
import { type WatchClient, startWatch } from './watch/watch-client.ts';

export { gatewayOptions, type GatewayConfig } from './config.ts';
export type { Dispatch, GatewayObserver } from './request/request-deps.ts';

export interface GatewayRunOptions {
  readonly config: GatewayConfig;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
  readonly observe?: GatewayObserver | undefined;
  /** Of its OpenTelemetry variables; left out: nothing is traced. */
  readonly traceEnv?: TraceEnvironment | undefined;
}

export interface RunningGateway extends AsyncDisposable {
  /** By which callers and agents reach it. */
  readonly url: string;
  readonly port: number;
  /** The one that it has beside a port that it shares with other workers. */
  readonly ownPort: number | undefined;
  readonly id: string;
  /** SHA-256 of the key of its TLS certificate, hex; null in plain. */
  readonly tlsKeySha256: string | null;
  /** PEM of its TLS certificate; null in plain. */
  readonly certificateFile: string | null;
  tableVersion(): number;
  /** There is a table, the lease to serve by it, and a certificate for agents. */
  ready(): boolean;
  /** How many nodes are linked. */
  links(): number;
  /** Control has all usage that this gateway counted. */
  usageStored(): boolean;
  /** Rejects when the shared port cannot be had later on; else never settles. */
  readonly joinFailed: Promise<never>;
  /** Takes nothing new, lets answers finish for at most `drainTimeoutMs`, then closes everything. Idempotent. */
  stop(): Promise<void>;
}

const LINKS_CLOSE_MS = 1_000;
/** Beyond it the gauge of pending usage says no more than that it is many. */
const MAX_PENDING_SHOWN = 100_000;

/** Resolves when the port listens; the table may come later. Rejects with a readable message. */
export async function runGateway(options: GatewayRunOptions): Promise<RunningGateway> {
  const { config } = options;
  const wiring = await wire(options);
  const { open, journal, requests, links, certificates, reports, uploads, active, transport, common } = wiring;
  const ports = await openPorts(open, config).catch((error: unknown) => {
    for (const part of [certificates, reports, uploads, active]) part.stop();
    journal.close();
    throw error;
  });
  const { host, behindProxy } = config;
  common.log.info({ host, ...ports, tls: open.secure, behindProxy }, 'the gateway listens');
  const url = urlOf(config, ports, open.secure);
  wiring.state.url = url;
  const watch = startWatch({
    ...common,
    lease: createLease(common.clock),
    onLoadWanted: (wanted) => wiring.load.want(wanted),
    time: wiring.time,
    shares: wiring.shares,
    onChange(change) {
      links.tableChanged(change);
      active.tableChanged(change);
      requests.room.stir();
      if (certificates.current() === undefined) certificates.ask();
    },
    onFresh: () => reports.resync(),
  });
  wiring.state.watch = watch;
  const joining = joinsWhenLinked(config)
    ? joinWhenLinked({ ...common, ...wiring.requests.present, ready: () => wiring.readiness().ready, open })
    : undefined;

  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    wiring.state.draining = true;
    joining?.stop();
    stopping ??= shutDown(wiring, watch, config.drainTimeoutMs)
      .then(() => Promise.all([uploads.flush(), wiring.tracing?.stop()]))
      .then(() => undefined)
      .finally(() => {
        for (const part of [uploads, active, requests.room]) part.stop();
        journal.close();
        transport.close();
      });
    return stopping;
  };
  return {
    url,
    port: ports.port,
    ownPort: ports.ownPort,
    id: common.gatewayId,
    tlsKeySha256: open.tlsKeySha256,
    certificateFile: open.certificateFile,
    tableVersion: () => requests.present.table().version,
    ready: () => wiring.readiness().ready,
    links: () => links.size,
    usageStored: () => wiring.journal.pending(1).length === 0,
    joinFailed: joining?.failed ?? new Promise(() => undefined),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** What changes after the parts are made, and only then. */
interface State {
  watch: WatchClient | undefined;
  url: string | undefined;
  draining: boolean;
}

/** Makes every part; nothing listens or dials yet. */
async function wire(options: GatewayRunOptions) {
  const { config, clock = systemClock, random = systemRandom } = options;
  const log = options.log ?? createLog('gateway', config.logLevel);
  const dataDir = resolve(config.dataDir);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const keys = loadGatewayKeys(dataDir);
  const tracing = await startTracing({ service: 'subcloud-gateway', instance: keys.id, env: options.traceEnv, log });
  const time = controlTime(clock);
  const controlNowMs = (): number => time.nowMs();
  const transport = await openControl({ config, dataDir, keys, clock, random, log, nowMs: controlNowMs });
  const control = controlClient(transport);
  const open = createPublicServer({ ...config, dataDir }, clock);
  const journal = openJournal({ dir: join(dataDir, 'usage'), clock, log });
  const common = { control, gatewayId: keys.id, boot: newId('boot'), clock, random, log };
  const state: State = { watch: undefined, url: undefined, draining: false };
  const table = (): RoutingTable => state.watch?.table() ?? EMPTY_TABLE;
  const live = (): boolean => state.watch?.live() ?? false;

  const certificates = keepCertificate({
    ...common,
    keys,
    tlsKeySha256: open.tlsKeySha256,
    url: () => state.url ?? '',
    chain: () => table().network?.chain,
    nowMs: controlNowMs,
  });
  const reports: Reports = startReports({
    ...common,
    links: () => links.states(),
    declaration: (node) => links.declaration(node),
    drained: () => links.drained(),
  });
  const report: RequestDeps['report'] = (event) => reports.add(event);
  const lastUse = noteLastUse(clock, report);
  const refused = refusedLinks({ clock, log, report, present: { table, links: () => links } });
  const receipts: LinkHubOptions['receipts'] = (node, batch) => uploads.received(node, batch);
  const links: LinkHub = createLinkHub({ clock, log, table, controlNowMs, report, refused, receipts });
  const drained = watchDrainedNodes({ clock, table, links, report });
  const uploads = startUploads({
    ...common,
    journal,
    signer: receiptSigner(keys.key, certificates, table, controlNowMs),
  });
  const active = activeRequests(clock);
  const budget = byteBudget(config.maxBufferedBytes);
  const [limiter, admission] = [
    new Limiter(),
    { room: new WaitingRoom(clock), reserves: new ReserveKeeper(), retries: new RetryBudget() },
  ];
  const usage = { last: () => journal.last, stored: () => journal.stored };
  const shares = keepShare({ ...common, limiter, usage }, () => state.watch?.acknowledge());
  const members = (): ReadonlyMap<string, number> => membersOf(table());
  const load = new LoadMeter({ ...common, table, links: () => links.live(), waiting: admission.room, members });
  const metrics = gatewayMetrics(config.worker, () => ({
    activeRequests: active.size,
    bufferedBytes: budget.usedBytes,
    links: links.size,
    tableVersion: table().version,
    live: live(),
    usagePending: journal.pending(MAX_PENDING_SHOWN).length,
    waiting: admission.room.waiting(),
    spans: tracing?.counts(),
    members: members(),
  }));
  const spans = tracing && new RequestSpans({ tracing, url: () => state.url, tellsNodes: config.traceNodes });
  const requests: RequestDeps = {
    present: { table, live, controlNowMs, links },
    ...common,
    active,
    budget,
    bodyTimeoutMs: config.bodyTimeoutMs,
    domain: config.domain,
    limiter,
    ...admission,
    used: (credential, atMs) => lastUse.note(credential, atMs),
    ...records({ metrics, spans, load, journal, uploads }),
    report,
    spans,
    observe: options.observe,
    draining: () => state.draining,
  };
  const readiness = (): Readiness => {
    const { version: tableVersion } = table();
    const serving = journal.writable ? 'ready' : 'usage not writable';
    const reason = state.draining ? 'draining' : live() ? serving : tableVersion === 0 ? 'starting' : 'table stale';
    return { ready: reason === 'ready' && certificates.current() !== undefined, reason, tableVersion };
  };
  const pages = passThrough(transport);
  const identity = { keys, certificates };
  const endpoint = { metrics, readers: trustedProxies(config.metricsFrom) };
  const behindProxy = config.behindProxy !== undefined;
  open.http.on(
    'request',
    requestListener({ requests, identity, control: pages, metrics: endpoint, readiness, behindProxy }),
  );
  const accepting = { ...identity, onSession: (one: UpgradedSocket) => links.accept(one), onRefused: refused.unproved };
  onUpgrade(open.http, (request, socket, head) => acceptUpgrade(request, socket, head, accepting));
  return {
    open,
    tracing,
    load,
    journal,
    transport,
    time,
    common,
    state,
    certificates,
    reports,
    links,
    drained,
    uploads,
    active,
    shares,
    lastUse,
    requests,
    readiness,
  };
}

/** What a request leaves, and who takes it. */
function records({ metrics, spans, load, journal, uploads }: RecordTakers): Pick<RequestDeps, 'journal' | 'decided'> {
  return {
    journal: {
      append(record, written) {
        metrics.counted(record);
        spans?.counted(record);
        load.counted(record);
        journal.append(record, written);
      },
      refuses: () => journal.refuses(),
    },
    decided(record, operation) {
      metrics.decided(record, operation);
      spans?.decided(record);
      load.decided(record);
      uploads.decided(record);
    },
  };
}

interface RecordTakers {
  readonly metrics: GatewayMetrics;
  readonly spans: RequestSpans | undefined;
  readonly load: LoadMeter;
  readonly journal: Journal;
  readonly uploads: Uploads;
}

/** How many members each pool has. */
function membersOf({ poolIndexes }: RoutingTable): ReadonlyMap<string, number> {
  return new Map([...poolIndexes].map(([pool, { members }]) => [pool, members.size]));
}

function receiptSigner(
  key: ReceiptSigner['key'],
  certificates: CertificateKeeper,
  table: () => RoutingTable,
  nowMs: () => number,
): ReceiptSigner {
  const certificate: ReceiptSigner['certificate'] = () => certificates.current()?.certificate;
  return { key, certificate, networkId: () => table().network?.networkId, nowMs };
}

/** Callers first: the table and the links stay until the last answer is out. */
async function shutDown(
  wiring: Awaited<ReturnType<typeof wire>>,
  watch: WatchClient,
  drainTimeoutMs: number,
): Promise<void> {
  const { open, active, links, reports, certificates } = wiring;
  const closed = open.close();
  await active.drained(drainTimeoutMs);
  await links.close(LINKS_CLOSE_MS);
  wiring.drained.stop();
  reports.stop();
  certificates.stop();
  await watch.stop();
  wiring.shares.stop();
  wiring.load.stop();
  wiring.lastUse.stop();
  open.closeAllConnections();
  await closed;
}

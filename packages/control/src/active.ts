/** Control while it leads, wired: store, world, loop, the channel with gateways, the API. One term of leadership. */
import type { Clock, Random } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { Tracing } from '@subcloud/kit/tracing/start-tracing';
import { rowKey } from '@subcloud/contract/table';
import { agentFile } from './api/agent-file.ts';
import { createApi } from './api/app.ts';
import { startAuditSealer } from './audit/seal.ts';
import { openAuditMirror } from './backup/audit-mirror.ts';
import { mirrorIn } from './backup/restore-backup.ts';
import type { GatewayLinks } from './api/context.ts';
import { bootstrap } from './bootstrap.ts';
import { stageAccess } from './compile/access-rows.ts';
import { createPublishedTable } from './compile/published-table.ts';
import type { ControlConfig } from './config.ts';
import type { Leadership } from './leader/leadership.ts';
import { fetchText } from './facts/fetch-text.ts';
import { openLocationMeasurer } from './facts/measure-location.ts';
import { type NvidiaVerifier, createNvidiaVerifier } from './facts/nvidia-attestation.ts';
import { createReportSink } from './facts/reports.ts';
import { createEventStreams } from './events/event-streams.ts';
import { createIdentity } from './identity/identity.ts';
import { oidcFrom } from './identity/oidc-from.ts';
import { readDayUsage } from './limits/day-usage.ts';
import { createShares } from './limits/shares.ts';
import { createLoop } from './loop.ts';
import type { ReceiptContext } from './receipts/routing-halves.ts';
import { createServingHalves } from './receipts/serving-halves.ts';
import { createLoads } from './load/loads.ts';
import { startMaintenance } from './maintenance.ts';
import { controlMetrics } from './metrics/control-metrics.ts';
import { controlSpans } from './metrics/control-spans.ts';
import type { PassContext } from './pass.ts';
import { controlSockets, createApiServer, startApiServer } from './register.ts';
import { type Database, openDatabase } from './store/database.ts';
import { openGatewayStore } from './store/gateways.ts';
import { openTableVersions } from './store/table-versions.ts';
import { storeDecisions, storeUsage } from './store/usage.ts';
import { createLeases } from './watch/leases.ts';
import { enrolGateway } from './watch/enrol-gateway.ts';
import { type WatchHandler, type WatchOptions, createWatchHandler, startWatchSocket } from './watch/server.ts';
import { type GatewayListener, type GatewayListenerOptions, startGatewayListener } from './watch/tls-listener.ts';
import { gatewaysOf } from './world/gateway-record.ts';
import { loadWorld } from './world/load-world.ts';
import type { World } from './world/world.ts';

export interface ActiveOptions {
  readonly config: ControlConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly leadership: Leadership;
  readonly tracing: Tracing | undefined;
}

export interface ActiveControl {
  readonly networkId: string;
  readonly fingerprint: string;
  readonly gatewaysPort: number | undefined;
  idle(): Promise<void>;
  stop(): Promise<void>;
}

const VERSION = '0.1.0';

/** Rejects with a readable message when the database or the folder is not as it must be. */
export async function startActive(options: ActiveOptions): Promise<ActiveControl> {
  const { config, clock, random, log, leadership } = options;
  const { held } = leadership;
  const db = openDatabase(config.databaseUrl, log, { number: leadership.fence, onRefused: leadership.revoke });
  const { authority, adminTokenHash } = await bootstrap({ db, dataDir: config.dataDir, clock });
  const world = await loadWorld(db);
  const versions = await openTableVersions(db);
  // What an earlier run published last is not known: a gateway may still route by more than the first table will say.
  for (const node of world.nodes.values()) node.lossVersion = versions.first + 1;
  const gateways = await openGatewayStore(db, world, clock);
  for (const gateway of gateways.known) world.unheard.set(gateway, clock.nowMs());
  const table = createPublishedTable(versions.first);
  const leases = createLeases(clock, gateways.remembered, versions.first + 1);
  let measurer = openLocationMeasurer({ places: world.places });
  const context: PassContext = {
    db,
    world,
    table,
    leases,
    authority,
    clock,
    reserveVersions: versions.reserve,
    gatewayUrls: (node) => gatewaysOf(node, gateways.addresses()),
    startedAtMs: clock.nowMs(),
  };
  const spans = options.tracing && controlSpans(options.tracing, clock);
  const metrics = controlMetrics(spans);
  const streams = createEventStreams({ ...context, settled: () => loop.settled(), secret: adminTokenHash, log, held });
  const loop = createLoop({ ...context, metrics, log, onTurn: streams.poke });
  table.stage('network', rowKey.network(), { networkId: world.networkId, chain: authority.chain() });
  stageAccess(world, table);
  // The whole fleet is reconciled before anybody hears of the table: the first snapshot is complete.
  await loop.change(() => Promise.resolve({ result: undefined, touched: 'all', apply: () => undefined }));
  const sealer = startAuditSealer({ db, authority, dataDir: config.dataDir, clock, log });
  const maintenance = startMaintenance({ ...context, loop, random, log, allGateways: gateways.addresses });
  const sockets = controlSockets(config.dataDir);
  const reports = createReportSink({ loop, measurer: () => measurer, clock, log });
  const loads = createLoads(clock);
  const watch = createWatchHandler({
    world,
    loads,
    table,
    leases,
    reports,
    epoch: world.epoch,
    clock,
    log,
    certify: async (request) => {
      const { gateway, publicKey, tlsKeySha256 } = request;
      await gateways.register(request);
      return authority.signGateway({ gatewayId: gateway, publicKey, tlsKeySha256, pools: 'all' });
    },
    shares: createShares(clock, gateways.remembered, gateways.servedUntilMs),
    ...recordStores(db, { authority, clock, log, world: () => loop.world }),
    leased: gateways.leased,
    released: gateways.released,
    held,
  });
  const watchSocket = await startWatchSocket(sockets.gateways, watch);
  const mirror = await openAuditMirror({ path: config.auditMirror ?? mirrorIn(config.dataDir), db, log });
  await mirror.caughtUp();
  let listener: GatewayListener | undefined;
  const gatewayLinks = gatewayLinksOf(watch, () => listener);
  const api = createApiServer(
    createApi({
      context: {
        leases,
        loads,
        authority,
        sealer,
        identity: createIdentity(clock, oidcFrom(config, clock)),
        pass: context,
        version: VERSION,
        replaceMeasurer: (next) => void (measurer = next),
        nvidia: nvidiaVerifierOf(config, clock),
        agentFile: agentFile(config.agentFile),
        gatewayLinks,
      },
      db,
      loop,
      clock,
      metrics,
      spans,
      mirror,
      streams,
      adminTokenHash,
      log,
    }),
    held,
  );
  const apiSocket = await startApiServer(api, sockets.api);
  const { gatewaysHost: host, gatewaysPort: port } = config;
  const enrol: GatewayListenerOptions['enrol'] = (request, key) => enrolGateway({ loop, clock }, request, key);
  if (host !== undefined)
    listener = await startGatewayListener({ ...context, host, port, dataDir: config.dataDir, log, watch, api, enrol });
  log.info({ networkId: world.networkId, nodes: world.nodes.size, tableVersion: table.version }, 'control is ready');

  const stop = async (): Promise<void> => {
    maintenance.stop();
    streams.stop();
    await listener?.close();
    await apiSocket.close();
    await watchSocket.close();
    reports.stop();
    await loop.stop();
    await sealer.stop();
    await mirror.close();
    await db.destroy();
  };
  return {
    networkId: world.networkId,
    fingerprint: authority.fingerprint,
    gatewaysPort: listener?.port,
    idle: loop.idle,
    stop,
  };
}

/** Undefined: the admin has named no attestation service. */
function nvidiaVerifierOf(config: ControlConfig, clock: Clock): NvidiaVerifier | undefined {
  const { nvidiaJwksUrl: jwksUrl, nvidiaIssuer: issuer, nvidiaAudience: audience } = config;
  return jwksUrl === undefined ? undefined : createNvidiaVerifier({ jwksUrl, issuer, audience, fetchText, clock });
}

function gatewayLinksOf(watch: WatchHandler, listener: () => GatewayListener | undefined): GatewayLinks {
  return {
    watching: watch.watching,
    cut({ id, publicKey }) {
      watch.cut(id);
      if (publicKey !== null) listener()?.cut(publicKey);
    },
  };
}

/** What gateways tell of requests. */
function recordStores(
  db: Database,
  context: ReceiptContext & { readonly world: () => World },
): Pick<WatchOptions, 'storeUsage' | 'dayUsage' | 'storeDecisions' | 'storeReceipts'> {
  const servingHalves = createServingHalves({ ...context, db });
  return {
    storeUsage: (request) => storeUsage(db, request, context),
    dayUsage: (request) => readDayUsage(db, request),
    storeDecisions: (request) => storeDecisions(db, request),
    storeReceipts: (request) => servingHalves.store(request),
  };
}

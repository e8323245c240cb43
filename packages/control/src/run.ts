/** Control, wired: store, world, loop, the channel with gateways, the API. */
import { mkdirSync } from 'node:fs';
import { type Clock, type Random, systemClock, systemRandom } from '@subcloud/kit/clock';
import { type Log, createLog } from '@subcloud/kit/log';
import { rowKey } from '@subcloud/contract/table';
import { agentFile } from './api/agent-file.ts';
import { createApi } from './api/app.ts';
import { startAuditSealer } from './audit/seal.ts';
import { openAuditMirror } from './backup/audit-mirror.ts';
import { mirrorIn } from './backup/restore-backup.ts';
import { bootstrap } from './bootstrap.ts';
import { stageAccess } from './compile/access-rows.ts';
import { createPublishedTable } from './compile/published-table.ts';
import { type ControlConfig, controlOptions, loadControlConfig } from './config.ts';
import { fetchText } from './facts/fetch-text.ts';
import { openLocationMeasurer } from './facts/measure-location.ts';
import { createNvidiaVerifier } from './facts/nvidia-attestation.ts';
import { createReportSink } from './facts/reports.ts';
import { createIdentity } from './identity/identity.ts';
import { oidcFrom } from './identity/oidc-from.ts';
import { createLoop } from './loop.ts';
import { startMaintenance } from './maintenance.ts';
import { controlMetrics } from './metrics/control-metrics.ts';
import type { PassContext } from './pass.ts';
import { controlSockets, startApiServer } from './register.ts';
import { openDatabase } from './store/database.ts';
import { openGatewayStore } from './store/gateways.ts';
import { migrate } from './store/migrate.ts';
import { openTableVersions } from './store/table-versions.ts';
import { storeDecisions, storeUsage } from './store/usage.ts';
import { createLeases } from './watch/leases.ts';
import { startWatchServer } from './watch/server.ts';
import { loadWorld } from './world/load-world.ts';

export { controlOptions, loadControlConfig };
export type { ControlConfig };
export { BackupError } from './backup/backup-format.ts';
export { type Restored, mirrorIn, restoreBackup } from './backup/restore-backup.ts';
export { writeBackup } from './backup/write-backup.ts';

export interface ControlRunOptions {
  readonly config: ControlConfig;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
}

export interface RunningControl extends AsyncDisposable {
  readonly networkId: string;
  readonly fingerprint: string;
  /** Resolves when no change or pass is under way. */
  idle(): Promise<void>;
  stop(): Promise<void>;
}

const VERSION = '0.1.0';

/** Starts control. Rejects with a readable message when the database or the folder is not as it must be. */
export async function runControl(options: ControlRunOptions): Promise<RunningControl> {
  const { config, clock = systemClock, random = systemRandom, log = createLog('control', config.logLevel) } = options;
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  await migrate(config.databaseUrl);
  const db = openDatabase(config.databaseUrl, log);
  const { authority, adminTokenHash } = await bootstrap({ db, dataDir: config.dataDir, clock });
  const world = await loadWorld(db);
  const versions = await openTableVersions(db);
  // What an earlier run published last is not known: a gateway may still route by more than the first table will say.
  for (const node of world.nodes.values()) node.lossVersion = versions.first + 1;
  const gateways = await openGatewayStore(db, clock);
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
    gatewayUrls: gateways.urls,
    startedAtMs: clock.nowMs(),
  };
  const metrics = controlMetrics();
  const loop = createLoop({ ...context, metrics, log });
  table.stage('network', rowKey.network(), { networkId: world.networkId, chain: authority.chain() });
  stageAccess(world, table);
  // The whole fleet is reconciled before anybody hears of the table: the first snapshot is complete.
  await loop.change(() => Promise.resolve({ result: undefined, touched: 'all', apply: () => undefined }));

  const sealer = startAuditSealer({ db, authority, dataDir: config.dataDir, clock, log });
  const maintenance = startMaintenance({ ...context, loop, random, log });
  const sockets = controlSockets(config.dataDir);
  const reports = createReportSink({ loop, measurer: () => measurer, clock, log });
  const watchServer = await startWatchServer({
    socketPath: sockets.gateways,
    table,
    leases,
    reports,
    epoch: world.epoch,
    clock,
    log,
    certify: async ({ gateway, publicKey, tlsKeySha256, url }) => {
      await gateways.register(gateway, url);
      return authority.signGateway({ gatewayId: gateway, publicKey, tlsKeySha256, pools: 'all' });
    },
    storeUsage: (request) => storeUsage(db, request),
    storeDecisions: (request) => storeDecisions(db, request),
    leased: gateways.leased,
  });
  const replaceMeasurer = (next: typeof measurer): void => {
    measurer = next;
  };
  const nvidia =
    config.nvidiaJwksUrl === undefined
      ? undefined
      : createNvidiaVerifier({
          jwksUrl: config.nvidiaJwksUrl,
          issuer: config.nvidiaIssuer,
          audience: config.nvidiaAudience,
          fetchText,
          clock,
        });
  const mirror = await openAuditMirror({ path: config.auditMirror ?? mirrorIn(config.dataDir), db, log });
  await mirror.caughtUp();
  const identity = createIdentity(clock, oidcFrom(config, clock));
  const api = createApi({
    context: {
      leases,
      authority,
      sealer,
      identity,
      pass: context,
      version: VERSION,
      replaceMeasurer,
      nvidia,
      agentFile: agentFile(config.agentFile),
    },
    db,
    loop,
    clock,
    metrics,
    mirror,
    adminTokenHash,
    log,
  });
  const apiServer = await startApiServer(api, sockets.api);
  log.info({ networkId: world.networkId, nodes: world.nodes.size, tableVersion: table.version }, 'control is ready');

  const stop = async (): Promise<void> => {
    maintenance.stop();
    await apiServer.close();
    await watchServer.close();
    reports.stop();
    await loop.stop();
    await sealer.stop();
    await mirror.close();
    await db.destroy();
  };
  return {
    networkId: world.networkId,
    fingerprint: authority.fingerprint,
    idle: loop.idle,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

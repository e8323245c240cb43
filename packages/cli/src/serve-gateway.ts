/**
 * `subcloud serve gateway`: the gateway's processes, each started again when it ends, as those of `subcloud up` are. What
 * it is told goes on to them as their environment; this process carries no request.
 */
import { mkdirSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  type GatewayConfig,
  type WorkerConfig,
  gatewayOptions,
  tlsOf,
  workerOptions,
} from '@subcloud/gateway/supervise';
import { envName, loadConfig } from '@subcloud/kit/config';
import { lockFolder } from '@subcloud/kit/folder-lock';
import { createLog } from '@subcloud/kit/log';
import { CliError } from './cli-error.ts';
import type { CliHost } from './cli-host.ts';
import { pinText } from './find-network.ts';
import type { Running } from './serve-role.ts';
import { type RunningChild, startChild } from './up/child-process.ts';
import { NODE_FLAGS, asEnvironment, serviceMain } from './up/core-parts.ts';
import { type GatewayWorkers, firstOwnPort, startGatewayWorkers } from './up/gateway-workers.ts';
import { checkPort } from './up/port-check.ts';

export const serveGatewayOptions = { ...gatewayOptions, ...workerOptions };

const READY_LIMIT_MS = 60_000;
/** Beyond the time that answers get: for links, usage, and what is left of a start. */
const STOP_MARGIN_MS = 35_000;

/** Throws CliError or ConfigError. Its ready line has the address, the key to pin over TLS, and each worker's id and own address. */
export async function serveGateway(host: CliHost, flags: Readonly<Record<string, string | boolean>>): Promise<Running> {
  const config = loadConfig(serveGatewayOptions, { flags, env: host.env });
  const dataDir = resolve(config.dataDir);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const lock = await lockFolder(realpathSync(dataDir), 'gateway.lock', (pid) => inUse(dataDir, pid));
  try {
    const workers = await startWorkers(host, config, dataDir, flags);
    const [first] = workers.ready;
    const url = config.publicUrl ?? (config.workers === 1 ? first.url : sharedUrl(first, config.host));
    return {
      ready: {
        url,
        ...(first.tlsKeySha256 === null ? {} : { pin: pinText(first.tlsKeySha256) }),
        workers: workers.ready.map((worker) => ({ id: worker.id, url: worker.url })),
      },
      async stop() {
        await workers.stop();
        await lock.release();
      },
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function startWorkers(
  host: CliHost,
  config: GatewayConfig & WorkerConfig,
  dataDir: string,
  flags: Readonly<Record<string, string | boolean>>,
): Promise<GatewayWorkers> {
  const { clock, random, env } = host;
  const several = config.workers > 1;
  // Sharing a port means that nobody is told that it is taken.
  const port = several ? await checkPort(config.host, config.port) : config.port;
  const given = asEnvironment(Object.fromEntries(Object.entries(flags).map(([name, value]) => [name, String(value)])));
  const shared = { ...defined(env), ...given, ...asEnvironment(several ? sharedSettings(config, dataDir, host) : {}) };
  // Each worker is given its own.
  delete shared[envName('gatewayToken')];
  const log = createLog('gateway', config.logLevel);
  return startGatewayWorkers({
    config: { ...config, workerPort: firstOwnPort(config.workerPort, config.port) },
    dataDir,
    port,
    ...(config.gatewayToken === undefined ? {} : { tokens: config.gatewayToken.split(/\s*,\s*/) }),
    start: (name, settings, signal): Promise<RunningChild> =>
      startChild(
        {
          name,
          entry: serviceMain('gateway'),
          nodeFlags: NODE_FLAGS.gateway,
          env: { ...shared, ...asEnvironment(settings) },
          onLine: (line) => void host.stderr.write(`${line}\n`),
          clock,
          readyLimitMs: READY_LIMIT_MS,
          stopLimitMs: config.drainTimeoutMs + STOP_MARGIN_MS,
        },
        signal,
      ),
    keep: { clock, random, log },
  });
}

/** What is the gateway's, and would else be looked for in the folder of each worker. */
function sharedSettings(config: GatewayConfig, dataDir: string, { clock }: CliHost): Record<string, string> {
  const tls = tlsOf({ ...config, dataDir }, clock);
  return {
    ...(config.controlUrl === undefined ? { controlDir: resolve(config.controlDir ?? join(dataDir, 'run')) } : {}),
    ...(tls === undefined ? {} : { tlsCertificate: tls.certificateFile, tlsKey: tls.keyFile }),
  };
}

/** Of callers: a worker's own URL leads to that worker alone. */
function sharedUrl({ url, port }: { readonly url: string; readonly port: number }, host: string): string {
  const shared = new URL(url);
  shared.hostname = host.includes(':') ? `[${host}]` : host;
  shared.port = String(port);
  return shared.origin;
}

function defined(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) if (value !== undefined) kept[name] = value;
  return kept;
}

function inUse(dataDir: string, pid: number | undefined): CliError {
  return new CliError({
    code: 'config.data_in_use',
    message: `The data folder ${dataDir} is in use: ${pid === undefined ? 'another start' : `process ${pid}`} runs a gateway from it.`,
    next: 'Use that one, or stop it first, or start another with --data-dir DIR and --port N.',
    details: { pid: pid ?? null },
  });
}

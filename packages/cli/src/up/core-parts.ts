/** The parts that every network has: PostgreSQL, control, gateway. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tlsOf } from '@subcloud/gateway/supervise';
import type { Clock } from '@subcloud/kit/clock';
import { envName } from '@subcloud/kit/config';
import { CliError } from '../cli-error.ts';
import { type RunningChild, startChild } from './child-process.ts';
import { type GatewayWorkers, startGatewayWorkers } from './gateway-workers.ts';
import type { KeepOptions, Part, Running } from './keep-running.ts';
import { type UpLogs, childLogLevel } from './up-log.ts';
import type { UpConfig } from './up-options.ts';

export interface PartsContext {
  readonly config: UpConfig;
  /** Absolute. */
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly logs: UpLogs;
}

export const DATABASE_NAME = 'subcloud';
const READY_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = { control: 15_000, gateway: 45_000 } as const;

export interface RunningDatabase extends Running {
  /** Of the database that control uses. */
  readonly url: string;
}

/** A PostgreSQL of our own in the data folder. */
export function databasePart({ dataDir, clock, logs }: PartsContext): Part<RunningDatabase> {
  return {
    name: 'postgres',
    async start(signal) {
      const { startPostgres } = await import('@subcloud/kit/postgres/start-postgres');
      const postgres = await startPostgres({
        dataDir: join(dataDir, 'postgres'),
        clock,
        log: logs.log('postgres'),
        signal,
      }).catch((error: unknown) => {
        throw databaseError(error);
      });
      try {
        const { ensureDatabase } = await import('@subcloud/kit/postgres/ensure-database');
        await ensureDatabase(postgres.connectionString('postgres'), DATABASE_NAME);
      } catch (error) {
        await postgres.stop();
        throw error;
      }
      return {
        url: postgres.connectionString(DATABASE_NAME),
        exited: postgres.exited.then(({ code, signal: by }) =>
          by === null ? `ended with code ${code}` : `was ended by ${by}`,
        ),
        stop: () => postgres.stop(),
        kill: () => {
          try {
            // Immediate shutdown: no checkpoint, and the next start recovers from the log.
            process.kill(postgres.pid, 'SIGQUIT');
          } catch {
            // It is gone already.
          }
        },
      };
    },
  };
}

export function controlPart(context: PartsContext, databaseUrl: () => string): Part<RunningChild> {
  const { dataDir } = context;
  return {
    name: 'control',
    start(signal) {
      const settings = { dataDir, databaseUrl: databaseUrl(), agentFile: agentFileIn(dataDir) };
      return startService(context, 'control', 'control', settings, signal);
    },
  };
}

/** Where the agent's file is made at each start. */
export function agentFileIn(dataDir: string): string {
  return join(dataDir, 'run', 'agent.mjs');
}

/** All workers of the gateway. */
export async function gatewayWorkers(context: PartsContext, keep: KeepOptions): Promise<GatewayWorkers> {
  const { config, clock } = context;
  const dataDir = join(context.dataDir, 'gateway');
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const { publicUrl, behindProxy, tlsCertificate, tlsKey, host } = config;
  const own = { publicUrl, behindProxy, tlsCertificate, tlsKey, host };
  // Callers are shown one certificate, whichever worker they come to.
  const tls = config.workers === 1 ? undefined : tlsOf({ ...own, dataDir }, clock);
  const files = tls === undefined ? {} : { tlsCertificate: tls.certificateFile, tlsKey: tls.keyFile };
  const shared = given({ ...own, controlDir: join(context.dataDir, 'run'), ...files });
  return startGatewayWorkers({
    config,
    dataDir,
    port: config.port,
    start: (name, settings, signal) => startService(context, 'gateway', name, { ...shared, ...settings }, signal),
    keep,
  });
}

function given(settings: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const set: Record<string, string> = {};
  for (const [name, value] of Object.entries(settings)) if (value !== undefined) set[name] = value;
  return set;
}

/**
 * Options of Node for a service. A gateway that takes a large table keeps nearly all that it allocates meanwhile, and a
 * collection of new objects takes as long as what it has to keep: with Node's 16 MiB of them requests waited 20 ms and more.
 * With 2 MiB most of what requests under way hold is still there at each collection, which took a quarter of the gateway's
 * time under load. So few are collected faster by one thread than by several that wait for each other.
 */
export const NODE_FLAGS: Readonly<Record<'control' | 'gateway', readonly string[]>> = {
  control: [],
  gateway: ['--max-semi-space-size=4', '--no-parallel-scavenge'],
};

function startService(
  { config, env, clock, logs }: PartsContext,
  service: 'control' | 'gateway',
  name: string,
  settings: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<RunningChild> {
  return startChild(
    {
      name,
      entry: serviceMain(service),
      nodeFlags: NODE_FLAGS[service],
      env: {
        ...ownSettings(env),
        ...asEnvironment({ logLevel: childLogLevel(config.logLevel), ...settings }),
      },
      onLine: logs.lines(name),
      clock,
      readyLimitMs: READY_LIMIT_MS,
      stopLimitMs: STOP_LIMIT_MS[service],
    },
    signal,
  );
}

/** The file that is a service's process: it stands beside the `run` that this package may import. */
export function serviceMain(name: 'control' | 'gateway' | 'agent'): string {
  return fileURLToPath(new URL('./main.ts', import.meta.resolve(`@subcloud/${name}/run`)));
}

/** Settings of a service as the environment variables that it reads. */
export function asEnvironment(settings: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [envName(name), value]));
}

/** What the user set for services passes through; what is set for the commands, credentials above all, does not. */
function ownSettings(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const ofCommands = new Set(
    ['URL', 'TOKEN', 'PIN', 'DATA', 'JOIN_TOKEN', 'CONTROL_URL', 'GATEWAY_TOKEN'].map((name) => `SUBCLOUD_${name}`),
  );
  return defined(env, (name) => !ofCommands.has(name));
}

/** The environment without anything that is said to Subcloud. */
export function foreignEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return defined(env, (name) => !name.startsWith('SUBCLOUD_'));
}

function defined(
  env: Readonly<Record<string, string | undefined>>,
  keep: (name: string) => boolean,
): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) if (value !== undefined && keep(name)) kept[name] = value;
  return kept;
}

/** PostgreSQL's own errors carry a fault of the same form as ours. */
function databaseError(error: unknown): unknown {
  if (!(error instanceof Error) || error.name !== 'PostgresStartError') return error;
  const fault = 'fault' in error ? String(error.fault) : 'platform.postgres_failed';
  return new CliError({ code: fault as `platform.${string}`, message: error.message, cause: error });
}

/**
 * A gateway of one or more processes. Each worker is a gateway of its own to control and to nodes (its folder holds its
 * key, id and usage journal), and all of them share the port that callers use. The first has the gateway's own folder, so
 * that one becomes several, and several one again, without a new identity.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkerConfig } from '@subcloud/gateway/supervise';
import * as z from 'zod';
import { CliError } from '../cli-error.ts';
import type { RunningChild } from './child-process.ts';
import { type KeepOptions, keepRunning } from './keep-running.ts';

export const gatewayReady = z.object({
  id: z.string(),
  url: z.url(),
  port: z.int(),
  ownPort: z.int().optional(),
  tlsKeySha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullish()
    .transform((value) => value ?? null),
});
export type GatewayReady = z.infer<typeof gatewayReady>;

export interface GatewayWorkersOptions {
  readonly config: WorkerConfig;
  /** Of the whole gateway, absolute. */
  readonly dataDir: string;
  /** That callers use. Zero with one worker only: several need to know it before the first one listens. */
  readonly port: number;
  /** One for each worker that is not enrolled yet. */
  readonly tokens?: readonly string[];
  /** Starts the process `name` with these settings beside those that all share. */
  readonly start: (
    name: string,
    settings: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ) => Promise<RunningChild>;
  readonly keep: KeepOptions;
}

export interface GatewayWorkers {
  /** What each said when it was first ready. */
  readonly ready: readonly [GatewayReady, ...GatewayReady[]];
  stop(): Promise<void>;
  kill(): void;
}

/** In the folder of a worker that is not among the present ones, once control has its usage. */
const SETTLED = 'settled';
const MAX_PORT = 65_535;
const FOLDER = /^worker-([2-8])$/;

/** Resolves when all of them listen. Rejects when one cannot be started; then none runs. */
export async function startGatewayWorkers(options: GatewayWorkersOptions): Promise<GatewayWorkers> {
  const { config } = options;
  checkPorts(config, options.port);
  const tokens = [...(options.tokens ?? [])];
  const parts = Array.from({ length: config.workers }, (_, index) => workerPart(options, index + 1, tokens));
  const started = await Promise.allSettled(parts.map((part) => keepRunning(part, options.keep)));
  const kept = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const stop = async (): Promise<void> => void (await Promise.all(kept.map((worker) => worker.stop())));
  const failed = started.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  const [first, ...others] = kept.map(({ life }) => gatewayReady.parse(life.ready));
  if (first === undefined) throw new Error('a gateway has at least one worker');
  const settling = new AbortController();
  const settled = settleOthers(options, settling.signal);
  return {
    ready: [first, ...others],
    async stop() {
      settling.abort();
      await Promise.all([stop(), settled]);
    },
    kill: () => {
      settling.abort();
      for (const worker of kept) worker.kill();
    },
  };
}

function nameOf(worker: number): string {
  return worker === 1 ? 'gateway' : `gateway-${worker}`;
}

function folderOf(dataDir: string, worker: number): string {
  return worker === 1 ? dataDir : join(dataDir, `worker-${worker}`);
}

function workerPart(options: GatewayWorkersOptions, worker: number, tokens: string[]) {
  const { config, port } = options;
  const dataDir = folderOf(options.dataDir, worker);
  const isEnrolled = existsSync(join(dataDir, 'network.json'));
  const token = isEnrolled && config.workers > 1 ? undefined : tokens.shift();
  const name = nameOf(worker);
  /** Of the first life: the network keeps the ports that it was given, since nodes know them. */
  let known: GatewayReady | undefined;
  return {
    name,
    async start(signal: AbortSignal): Promise<RunningChild> {
      mkdirSync(dataDir, { recursive: true, mode: 0o700 });
      rmSync(join(dataDir, SETTLED), { force: true });
      const shared: Record<string, string> = { dataDir, port: String(known?.port ?? port) };
      if (token !== undefined) shared['gatewayToken'] = token;
      const own = config.workers === 1 ? {} : ownSettings(config, port, worker, known);
      const life = await options.start(name, { ...shared, ...own }, signal);
      known = gatewayReady.parse(life.ready);
      return life;
    },
  };
}

/** Of one worker among several. */
function ownSettings(
  { workerPort, workerUrl }: WorkerConfig,
  port: number,
  worker: number,
  known: GatewayReady | undefined,
): Record<string, string> {
  const first = firstOwnPort(workerPort, port);
  const ownPort = known?.ownPort ?? (first === 0 ? 0 : first + worker - 1);
  return {
    worker: String(worker),
    ownPort: String(ownPort),
    joins: known === undefined ? 'at once' : 'when linked',
    ...(workerUrl === undefined ? {} : { ownUrl: countedUp(workerUrl, worker - 1) }),
  };
}

/** Beside a port that was taken because it was free, the next ones need not be. */
export function firstOwnPort(workerPort: number | undefined, port: number): number {
  return workerPort ?? (port === 0 ? 0 : port + 1);
}

function checkPorts({ workers, workerPort }: WorkerConfig, port: number): void {
  const first = firstOwnPort(workerPort, port);
  if (workers === 1 || first === 0) return;
  const last = first + workers - 1;
  if (last <= MAX_PORT && (port < first || port > last)) return;
  throw new CliError({
    code: 'config.invalid_option',
    message: `The workers' own ports would be ${first} to ${last}: ${last > MAX_PORT ? `there is none above ${MAX_PORT}` : `${port} is the one that they share`}.`,
    next: 'Choose the first of them with --worker-port N (0 takes free ones).',
  });
}

function countedUp(url: string, by: number): string {
  const counted = new URL(url);
  const port = Number(counted.port || (counted.protocol === 'https:' ? 443 : 80));
  counted.port = String(port + by);
  return counted.href.replace(/\/$/, '');
}

/** There were more workers once. What they counted is handed in; a fault is logged, and the next start tries again. */
async function settleOthers(options: GatewayWorkersOptions, signal: AbortSignal): Promise<void> {
  const { dataDir, keep, config } = options;
  for (const entry of readdirSync(dataDir)) {
    const worker = Number(FOLDER.exec(entry)?.[1] ?? 0);
    const folder = join(dataDir, entry);
    if (worker <= config.workers || existsSync(join(folder, SETTLED))) continue;
    try {
      const alone = { dataDir: folder, port: '0', ownPort: '0', joins: 'never', worker: String(worker) };
      const life = await options.start(nameOf(worker), alone, signal);
      await life.stop();
      writeFileSync(join(folder, SETTLED), '');
    } catch (error) {
      if (!signal.aborted) keep.log.warn({ err: error, folder }, 'usage of a former worker was not handed in yet');
    }
  }
}

/**
 * A control replica: it waits until it leads, is control for that term, and stands by again when another one leads. While
 * it stands by it answers 503 to everybody, and takes over by itself.
 */
import { mkdirSync } from 'node:fs';
import { type Clock, type Random, newId, systemClock, systemRandom } from '@subcloud/kit/clock';
import { type Log, createLog } from '@subcloud/kit/log';
import { type TraceEnvironment, startTracing } from '@subcloud/kit/tracing/start-tracing';
import { type ActiveControl, startActive } from './active.ts';
import { type ControlConfig, controlOptions, loadControlConfig } from './config.ts';
import { type Leadership, lead } from './leader/leadership.ts';
import { controlSockets, startStandbyServer } from './register.ts';
import { migrate } from './store/migrate.ts';

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
  /** Of its OpenTelemetry variables; left out: nothing is traced. */
  readonly traceEnv?: TraceEnvironment | undefined;
  /** Called when another replica leads and this one waits for its turn. */
  readonly onStandby?: () => void;
}

export interface RunningControl extends AsyncDisposable {
  readonly networkId: string;
  readonly fingerprint: string;
  /** Where gateways of other machines reach it; undefined: only by the socket in its folder. */
  readonly gatewaysPort: number | undefined;
  /** Resolves when no change or pass is under way. */
  idle(): Promise<void>;
  stop(): Promise<void>;
}

/** Resolves when this replica leads for the first time. Rejects with a readable message when it cannot start. */
export async function runControl(options: ControlRunOptions): Promise<RunningControl> {
  const { config, clock = systemClock, random = systemRandom, log = createLog('control', config.logLevel) } = options;
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const tracing = await startTracing({
    service: 'subcloud-control',
    instance: newId('ctl'),
    env: options.traceEnv,
    log,
  });
  await migrate(config.databaseUrl);
  const stopping = new AbortController();
  const term = async (): Promise<{ leadership: Leadership; active: ActiveControl }> => {
    const leadership = await waitToLead(options, log, stopping.signal);
    try {
      return { leadership, active: await startActive({ config, clock, random, log, leadership, tracing }) };
    } catch (error) {
      await leadership.release();
      throw error;
    }
  };
  let current = await term();
  const { networkId, fingerprint, gatewaysPort } = current.active;
  /** Terms after the first; it ends with the stop. */
  const terms = (async () => {
    while (!stopping.signal.aborted) {
      await Promise.race([current.leadership.lost, aborted(stopping.signal)]);
      await current.active.stop();
      await current.leadership.release();
      // What fails is tried again: the old term is over, and a replica that does nothing helps nobody.
      while (!stopping.signal.aborted) {
        const next = await term().catch((error: unknown) => {
          if (!stopping.signal.aborted) log.error({ err: error }, 'control could not take the lead; it is tried again');
          return undefined;
        });
        if (next !== undefined) {
          current = next;
          break;
        }
        await systemClock.sleep(RETRY_MS, stopping.signal).catch(() => undefined);
      }
    }
  })();
  const stop = async (): Promise<void> => {
    stopping.abort();
    await terms;
    await tracing?.stop();
  };
  return { networkId, fingerprint, gatewaysPort, idle: () => current.active.idle(), stop, [Symbol.asyncDispose]: stop };
}

const RETRY_MS = 1_000;

/** Stands by meanwhile. The lead is a matter of processes and machines: its time is that of the system, in tests too. */
async function waitToLead(
  { config, onStandby }: ControlRunOptions,
  log: Log,
  signal: AbortSignal,
): Promise<Leadership> {
  const sockets = controlSockets(config.dataDir);
  const servers: { close(): Promise<void> }[] = [];
  try {
    return await lead({
      databaseUrl: config.databaseUrl,
      clock: systemClock,
      log,
      signal,
      async onStandby() {
        for (const path of [sockets.api, sockets.gateways]) servers.push(await startStandbyServer(path));
        onStandby?.();
      },
    });
  } finally {
    for (const server of servers) await server.close();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

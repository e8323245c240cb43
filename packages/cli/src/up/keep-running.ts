/**
 * Keeps one part of the network running. Its first start must succeed, since a fault then is one of settings that its
 * reader corrects. After that it is started again whenever it ends, for as long as it takes.
 */
import { type Clock, type Random, jitteredBackoffMs } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';

/** One life of a part. */
export interface Running {
  /** Resolves with the cause when it has ended, for whatever reason. Never rejects. */
  readonly exited: Promise<string>;
  /** Lets it finish what it has; harder after its own limits. Resolves when it is gone. */
  stop(): Promise<void>;
  /** Ends it now, without waiting. */
  kill(): void;
}

export interface Part<Life extends Running> {
  readonly name: string;
  /** Resolves when it does its work. Rejects when it cannot, and then nothing of it runs. */
  start(signal: AbortSignal): Promise<Life>;
}

export interface KeptRunning<Life extends Running> {
  /** The present life, or the last one while it is being started again. */
  readonly life: Life;
  readonly restarts: number;
  stop(): Promise<void>;
  kill(): void;
}

export interface KeepOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Calls off the first start. */
  readonly signal?: AbortSignal;
}

export const RESTART_BACKOFF = { baseMs: 200, capMs: 15_000 } as const;
/** A life this long is taken for healthy: the next end is met with the shortest wait again. */
export const HEALTHY_AFTER_MS = 60_000;

/** Starts the part and keeps it. Rejects when the first start fails. */
export async function keepRunning<Life extends Running>(
  part: Part<Life>,
  options: KeepOptions,
): Promise<KeptRunning<Life>> {
  const { clock, random, log } = options;
  const stopping = new AbortController();
  const firstStart =
    options.signal === undefined ? stopping.signal : AbortSignal.any([stopping.signal, options.signal]);
  const calledAtMs = clock.monotonicMs();
  let life = await part.start(firstStart);
  let restarts = 0;
  let attempt = 0;
  let startedAtMs = clock.monotonicMs();
  log.info({ part: part.name, tookMs: Math.round(startedAtMs - calledAtMs) }, `${part.name} runs`);

  const waitAndStart = async (cause: string): Promise<boolean> => {
    const delayMs = jitteredBackoffMs(attempt, RESTART_BACKOFF, random);
    attempt += 1;
    log.warn(
      { part: part.name, cause, delayMs },
      `${part.name} ${cause}; it is started again in ${Math.round(delayMs)} ms`,
    );
    try {
      await clock.sleep(delayMs, stopping.signal);
      life = await part.start(stopping.signal);
    } catch (error) {
      if (stopping.signal.aborted) return false;
      return waitAndStart(`could not be started (${error instanceof Error ? error.message : String(error)})`);
    }
    restarts += 1;
    startedAtMs = clock.monotonicMs();
    log.warn({ part: part.name, restarts }, `${part.name} runs again`);
    return true;
  };

  const watch = async (): Promise<void> => {
    for (;;) {
      const cause = await life.exited;
      if (stopping.signal.aborted) return;
      if (clock.monotonicMs() - startedAtMs >= HEALTHY_AFTER_MS) attempt = 0;
      if (!(await waitAndStart(cause))) return;
    }
  };
  const watching = watch();

  return {
    get life() {
      return life;
    },
    get restarts() {
      return restarts;
    },
    async stop() {
      stopping.abort();
      await life.stop();
      await watching;
      // A start that was under way when it was called off may have come to life after all.
      await life.stop();
    },
    kill() {
      stopping.abort();
      life.kill();
    },
  };
}

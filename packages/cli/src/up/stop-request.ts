import type { Clock } from '@subcloud/kit/clock';
import type { CliHost } from '../cli-host.ts';

/** The wish to stop, and the wish to stop at once. */
export interface StopRequest {
  /** Aborts at the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  /** Resolves at the first one; until then the process stays, also where nothing else holds it. */
  asked(): Promise<void>;
  dispose(): void;
}

/**
 * npm passes the Ctrl-C of a terminal on to a process that has already got it from the terminal: two signals so close to
 * each other are one wish.
 */
const SAME_WISH_MS = 750;
const HOLD_MS = 3_600_000;

/** Listens for the signals; `force` is called for a second wish. */
export function listenForStop(host: Pick<CliHost, 'onSignal'>, clock: Clock, force: () => void): StopRequest {
  const stopping = new AbortController();
  let firstAtMs: number | undefined;
  const ask = (): void => {
    const nowMs = clock.monotonicMs();
    if (firstAtMs === undefined) {
      firstAtMs = nowMs;
      stopping.abort(new Error('The start was called off.'));
    } else if (nowMs - firstAtMs > SAME_WISH_MS) force();
  };
  const takeAway = (['SIGINT', 'SIGTERM'] as const).map((signal) => host.onSignal(signal, ask));
  return {
    signal: stopping.signal,
    async asked() {
      while (!stopping.signal.aborted) await clock.sleep(HOLD_MS, stopping.signal).catch(() => undefined);
    },
    dispose: () => {
      for (const take of takeAway) take();
    },
  };
}

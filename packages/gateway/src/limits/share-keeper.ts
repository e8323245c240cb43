/**
 * This gateway's share of the limits, as control hands it out with each acknowledgement. A share that changes is adopted
 * in one step: first all that is under way must fit it, and everything that this gateway has used of the day must be
 * stored at control, so that what others get never holds what was used here. Until then the old one is reported, and
 * control gives nothing of it to anybody else.
 */
import { type DayUsageResponse, type ShareInterval, WATCH_PATHS, dayUsageResponse } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { ControlClient } from '../watch/control-client.ts';
import { DAY_MS } from './counter.ts';
import { callerKey, tokenKey, totalKey } from './limited-scopes.ts';
import type { DayBases, Limiter } from './limiter.ts';
import { sameShare } from './share.ts';

const TRY_MS = 50;
const PRUNE_MS = 30_000;

export interface ShareKeeperOptions {
  readonly limiter: Limiter;
  readonly control: ControlClient;
  readonly gatewayId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Sequence of the newest usage record, and of the newest that control has stored. */
  readonly usage: { readonly last: () => number; readonly stored: () => number };
}

export interface ShareKeeper {
  /** What to report with the next acknowledgement. `live`: the lease has not ended. */
  reported(live: boolean): ShareInterval & { readonly sequence: number };
  /** Control's answer to it. */
  granted(share: ShareInterval & { readonly idleMs: number }): void;
  stop(): void;
}

/** `changed`: a share was adopted; control should hear of it soon. */
export function keepShare(options: ShareKeeperOptions, changed: () => void): ShareKeeper {
  const { limiter, clock, log } = options;
  let sequence = 0;
  let wanted: (ShareInterval & { readonly idleMs: number; readonly sinceMs: number }) | undefined;
  let adopting = false;
  let stopped = false;

  const adopt = async (): Promise<void> => {
    while (!stopped && wanted !== undefined) {
      const target = wanted;
      const bases = await dayBases(options);
      // While control was asked it may have changed its mind, and requests may have come.
      if (wanted !== target || bases === undefined) continue;
      if (!limiter.fits(target)) {
        await clock.sleep(TRY_MS);
        continue;
      }
      const nowMs = clock.monotonicMs();
      const filledForMs = target.idleMs + nowMs - target.sinceMs;
      limiter.adopt({ lo: target.lo, hi: target.hi }, filledForMs, bases, { nowMs, atMs: clock.nowMs() });
      wanted = undefined;
      changed();
    }
  };
  const pruning = clock.every(PRUNE_MS, () => limiter.prune({ nowMs: clock.monotonicMs(), atMs: clock.nowMs() }));
  return {
    reported(live) {
      if (!live) {
        limiter.drop();
        wanted = undefined;
      }
      sequence += 1;
      return { ...limiter.share, sequence };
    },
    granted({ lo, hi, idleMs }) {
      if (sameShare({ lo, hi }, limiter.share)) {
        wanted = undefined;
        return;
      }
      if (wanted !== undefined && sameShare(wanted, { lo, hi })) return;
      wanted = { lo, hi, idleMs, sinceMs: clock.monotonicMs() };
      limiter.narrow({ lo, hi });
      if (adopting) return;
      adopting = true;
      adopt()
        .catch((error: unknown) => log.error({ err: error }, 'a share of the limits could not be adopted'))
        .finally(() => {
          adopting = false;
        });
    },
    stop() {
      stopped = true;
      pruning.cancel();
    },
  };
}

/** Undefined: control could not say; try again. */
async function dayBases({
  limiter,
  control,
  gatewayId,
  clock,
  log,
  usage,
}: ShareKeeperOptions): Promise<DayBases | undefined> {
  const day = Math.floor(clock.nowMs() / DAY_MS);
  const included = limiter.settledOf(day);
  const upTo = usage.last();
  if (usage.stored() < upTo) {
    await clock.sleep(TRY_MS);
    return undefined;
  }
  try {
    const answer = dayUsageResponse.parse(await control.post(WATCH_PATHS.dayUsage, { gateway: gatewayId, day }));
    return { day, used: usedByKey(answer), included };
  } catch (error) {
    log.debug({ err: error }, 'control did not say what was used of the day');
    await clock.sleep(TRY_MS);
    return undefined;
  }
}

function usedByKey({ used }: DayUsageResponse): Map<string, number> {
  const byKey = new Map<string, number>();
  const add = (key: string, tokens: number): void => void byKey.set(key, (byKey.get(key) ?? 0) + tokens);
  for (const { pool, principal, credential, tokens } of used) {
    add(totalKey(pool), tokens);
    add(callerKey(pool, principal), tokens);
    add(tokenKey(credential), tokens);
  }
  return byKey;
}

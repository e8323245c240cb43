/**
 * Says in the log, in time, that the certificate of the signing key is about to end: with the network key offline nobody but
 * a person can sign the next one. With the key here certificates are renewed at half their life, and one that is this old
 * means that renewal fails.
 */
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { KeyRing, KeyStatus } from './key-ring.ts';

const CHECK_MS = 60_000;
const DAY_MS = 86_400_000;
/** From here on it is said once a day. */
export const EXPIRY_NEAR_MS = 7 * DAY_MS;
/** From here on, and after the end, once an hour. */
const EXPIRY_URGENT_MS = DAY_MS;
const AGAIN_MS = DAY_MS;
const AGAIN_URGENT_MS = 3_600_000;

export function watchKeyExpiry({
  ring,
  clock,
  log,
}: {
  readonly ring: KeyRing;
  readonly clock: Clock;
  readonly log: Log;
}): {
  stop(): void;
} {
  /** By key: when it was said last. */
  const said = new Map<string, number>();
  const check = (): void => {
    const nowMs = clock.nowMs();
    for (const key of ring.status()) {
      if (key.state === 'retired') continue;
      const leftMs = key.notAfterMs === null ? null : key.notAfterMs - nowMs;
      if (leftMs !== null && leftMs > EXPIRY_NEAR_MS) {
        said.delete(key.publicKey);
        continue;
      }
      const isUrgent = key.state === 'active' && (leftMs ?? 0) <= EXPIRY_URGENT_MS;
      const lastMs = said.get(key.publicKey);
      if (lastMs !== undefined && nowMs - lastMs < (isUrgent ? AGAIN_URGENT_MS : AGAIN_MS)) continue;
      said.set(key.publicKey, nowMs);
      log[isUrgent ? 'error' : 'warn'](
        {
          signingKey: key.publicKey,
          state: key.state,
          secondsLeft: leftMs === null ? null : Math.round(leftMs / 1_000),
        },
        sentence(key, leftMs, ring.networkKeyHere),
      );
    }
  };
  check();
  const timer = clock.every(CHECK_MS, check);
  return { stop: () => timer.cancel() };
}

function sentence({ state, publicKey }: KeyStatus, leftMs: number | null, isNetworkKeyHere: boolean): string {
  const what =
    leftMs === null
      ? `the ${state} signing key has no certificate yet`
      : leftMs <= 0
        ? `the certificate of the ${state} signing key has ended: agents and gateways believe nothing new`
        : `the certificate of the ${state} signing key ends soon`;
  const next = isNetworkKeyHere
    ? 'the network key is here and should have renewed it: look at the clock, and at whether DATA/keys can be written'
    : `the network key is offline: sign one with \`subcloud network-key certify ${publicKey}\` and install it`;
  return `${what}; ${next}`;
}

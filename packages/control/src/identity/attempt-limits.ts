/**
 * How often somebody may try: to sign in, to type a code. Counted before the attempt is judged, so that many at once are
 * not more than one after the other, and the same for accounts that do not exist. In memory: a restart of control is
 * nothing that a caller can bring about.
 */
import type { Clock } from '@subcloud/kit/clock';
import ipaddr from 'ipaddr.js';

export interface AttemptLimit {
  /** Seconds to wait; undefined: it may be tried, and is counted. */
  readonly take: (key: string) => number | undefined;
  /** It was rightful: as if it had not been counted. */
  readonly forgive: (key: string) => void;
}

const MAX_KEYS = 10_000;

/** At most `attempts` in any window of `windowMs` that begins with an attempt. */
export function attemptLimit(clock: Clock, attempts: number, windowMs: number): AttemptLimit {
  const counts = new Map<string, { endsAtMs: number; count: number }>();
  return {
    take(key) {
      const nowMs = clock.nowMs();
      const found = counts.get(key);
      if (found === undefined || found.endsAtMs <= nowMs) {
        // Insertion order is the order of ends, since all windows are as long: the first ones are the oldest.
        counts.delete(key);
        for (const [old, { endsAtMs }] of counts) {
          if (endsAtMs > nowMs && counts.size < MAX_KEYS) break;
          counts.delete(old);
        }
        counts.set(key, { endsAtMs: nowMs + windowMs, count: 1 });
        return undefined;
      }
      if (found.count >= attempts) return Math.ceil((found.endsAtMs - nowMs) / 1_000);
      found.count += 1;
      return undefined;
    },
    forgive(key) {
      const found = counts.get(key);
      if (found !== undefined && found.count > 0) found.count -= 1;
    },
  };
}

export interface SignInLimits {
  /** Takes one attempt for the login name from the address; seconds to wait where it may not be made. */
  readonly take: (login: string, address: string) => number | undefined;
  readonly forgive: (login: string, address: string) => void;
}

const MINUTE_MS = 60_000;

/** One address cannot lock an account for others: that takes many. */
export function signInLimits(clock: Clock): SignInLimits {
  const both = attemptLimit(clock, 5, 15 * MINUTE_MS);
  const byLogin = attemptLimit(clock, 50, 60 * MINUTE_MS);
  const byAddress = attemptLimit(clock, 30, 15 * MINUTE_MS);
  const keys = (login: string, address: string) =>
    [
      [both, `${address} ${login}`],
      [byLogin, login],
      [byAddress, address],
    ] as const;
  return {
    take(login, address) {
      for (const [limit, key] of keys(login, addressBlock(address))) {
        const waitS = limit.take(key);
        if (waitS !== undefined) return waitS;
      }
      return undefined;
    },
    forgive(login, address) {
      for (const [limit, key] of keys(login, addressBlock(address))) limit.forgive(key);
    },
  };
}

/** Whoever has one IPv6 address has the 2^64 beside it. */
export function addressBlock(address: string): string {
  if (!ipaddr.isValid(address)) return '';
  const parsed = ipaddr.process(address);
  return parsed.kind() === 'ipv4' ? parsed.toString() : `${parsed.toByteArray().slice(0, 8).join('.')}/64`;
}

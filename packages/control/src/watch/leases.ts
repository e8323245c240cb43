/**
 * Which gateways may be serving, by which table, and until when. Control's half of the lease in contract/watch.ts.
 *
 * A version is *concluded* when every gateway with a live lease has acknowledged it. Once that was said of a version,
 * no gateway that is behind it gets a lease again: it may not come back with an older table.
 */
import type { Withdrawal } from '@subcloud/contract/routes/shapes';
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import { WATCH_LAG_MS } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';

interface Lease {
  readonly gateway: string;
  boot: string;
  acknowledged: number;
  /** Control's monotonic clock; 0: none was granted. */
  endsAtMs: number;
}

/**
 * `sole`: no two processes are this gateway at one time, since it holds the folder that its id lies in and control can see
 * that folder. Where control cannot (another machine), a new process does not end what an earlier one may still serve by.
 */
export type Presence = 'sole' | 'many';

export interface Leases {
  /** An acknowledgement came. True: the lease is renewed from now. */
  acknowledge(gateway: string, boot: string, version: number, presence?: Presence): boolean;
  /** The process has said that it serves nobody any more. */
  release(gateway: string, boot: string): void;
  /** What the gateway may serve by, over all of its processes; undefined where no lease of it is live. */
  of(gateway: string): { readonly endsAtMs: number; readonly acknowledged: number } | undefined;
  /** Those that may be serving, by a lease that is live. */
  gateways(): readonly string[];
  /** A version was published just now. */
  published(version: number): void;
  /** True when every live lease has acknowledged `version`; it is concluded from then on. */
  concluded(version: number): boolean;
  /** Waits until `version` is concluded, at most `timeoutMs`; the answer names who is outstanding. */
  wait(version: number, timeoutMs: number): Promise<Withdrawal>;
  /** Called after every acknowledgement and whenever a lease may have run out. */
  onChange(listener: () => void): void;
}

const POLL_MS = 250;

/** What a lease is kept under. */
export function leaseKey(gateway: string, boot: string, presence: Presence): string {
  return presence === 'sole' ? gateway : `${gateway}/${boot}`;
}

/**
 * `remembered`: by `leaseKey`, the leases that an earlier run of control may have given and that may still live, with
 * their ends (monotonic ms). `firstVersion`: the first table of this run. What the earlier run concluded is not known, so nobody gets a lease for
 * a table of its: it may be one that a withdrawal has overtaken.
 */
export function createLeases(clock: Clock, remembered: ReadonlyMap<string, number>, firstVersion = 0): Leases {
  const leases = new Map<string, Lease>(
    [...remembered].map(([key, endsAtMs]) => {
      const [gateway = key, boot = ''] = key.split('/');
      return [key, { gateway, boot, acknowledged: 0, endsAtMs }];
    }),
  );
  const listeners = new Set<() => void>();
  /** Publication times of versions that somebody may still lag behind, oldest first. */
  let publications: { version: number; atMs: number }[] = [];
  /** Every version up to here is concluded. */
  let concludedUpTo = 0;
  /** Nobody behind this gets a lease: it is concluded, or the ends of the leases that are behind it were announced. */
  let leasedFrom = firstVersion;

  const live = (): Lease[] => {
    const now = clock.monotonicMs();
    return [...leases.values()].filter(({ endsAtMs }) => endsAtMs > now);
  };
  const outstanding = (version: number): Lease[] => live().filter(({ acknowledged }) => acknowledged < version);
  /** Processes that came and went on other machines leave nothing behind. */
  const dropEnded = (): void => {
    const now = clock.monotonicMs();
    for (const [key, { endsAtMs }] of leases) if (endsAtMs <= now) leases.delete(key);
  };
  const changed = (): void => {
    for (const listener of listeners) listener();
  };
  const concluded = (version: number): boolean => {
    if (version > concludedUpTo && outstanding(version).length === 0) {
      concludedUpTo = version;
      leasedFrom = Math.max(leasedFrom, version);
    }
    return version <= concludedUpTo;
  };
  const lagging = (version: number): boolean => {
    const now = clock.monotonicMs();
    const behind = publications.find((publication) => publication.version > version);
    return behind !== undefined && now - behind.atMs > WATCH_LAG_MS;
  };

  return {
    acknowledge(gateway, boot, version, presence = 'sole') {
      const key = leaseKey(gateway, boot, presence);
      if (!leases.has(key)) dropEnded();
      const lease: Lease = leases.get(key) ?? { gateway, boot, acknowledged: 0, endsAtMs: 0 };
      leases.set(key, lease);
      if (lease.boot !== boot) {
        // A new process has nothing of the old one's table. The old one is gone: it held the folder that the id lies in.
        lease.boot = boot;
        lease.acknowledged = version;
      } else lease.acknowledged = Math.max(lease.acknowledged, version);
      const granted = version >= leasedFrom && !lagging(version);
      if (granted) lease.endsAtMs = clock.monotonicMs() + TABLE_LEASE_MS;
      changed();
      return granted;
    },
    release(gateway, boot) {
      for (const [key, lease] of leases) if (lease.gateway === gateway && lease.boot === boot) leases.delete(key);
      changed();
    },
    of(gateway) {
      const own = live().filter((lease) => lease.gateway === gateway);
      if (own.length === 0) return undefined;
      return {
        endsAtMs: Math.max(...own.map(({ endsAtMs }) => endsAtMs)),
        acknowledged: Math.min(...own.map(({ acknowledged }) => acknowledged)),
      };
    },
    gateways: () => live().map(({ gateway }) => gateway),
    published(version) {
      publications.push({ version, atMs: clock.monotonicMs() });
      const slowest = Math.min(...[...leases.values()].map(({ acknowledged }) => acknowledged), version);
      // A version that all have passed can no longer make anybody lag.
      if (publications.length > 64)
        publications = publications.filter((publication) => publication.version > slowest).slice(-4_096);
    },
    concluded,
    async wait(version, timeoutMs) {
      const end = clock.monotonicMs() + timeoutMs;
      while (!concluded(version) && clock.monotonicMs() < end) {
        await new Promise<void>((resolve) => {
          const timer = clock.after(Math.min(POLL_MS, Math.max(1, end - clock.monotonicMs())), done);
          function done(): void {
            timer.cancel();
            listeners.delete(done);
            resolve();
          }
          listeners.add(done);
        });
      }
      if (concluded(version)) return { complete: true, tableVersion: version, outstanding: [] };
      const late = outstanding(version);
      // From here on the late ones get no new lease below this version, so the ends that are announced hold. Concluded
      // it is only when they have passed.
      leasedFrom = Math.max(leasedFrom, version);
      const now = clock.monotonicMs();
      return {
        complete: false,
        tableVersion: version,
        outstanding: late.map((lease) => ({
          gateway: lease.gateway,
          leaseEndsAt: new Date(clock.nowMs() + lease.endsAtMs - now).toISOString(),
        })),
      };
    },
    onChange(listener) {
      listeners.add(listener);
    },
  };
}

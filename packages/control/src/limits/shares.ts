/**
 * Which gateway may hand out which part of every limit. Parts are intervals of [0, 1) that never overlap among gateways
 * whose leases live: what a gateway is to give up stays reserved for it until it says that it has, or until its lease has
 * ended, and only then is it given to another. Kept in memory: after a restart of control, gateways say what they have,
 * and one that may still live and has not spoken holds everything.
 */
import type { ShareInterval } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';

interface Holder {
  /** Undefined: known from an earlier run of control; what it hands out is not known. */
  boot: string | undefined;
  sequence: number;
  /** What it said, and what it was given since. */
  parts: readonly ShareInterval[];
  endsAtMs: number;
}

export interface Shares {
  /** A gateway (by the key of its lease) said what it hands out, and its lease lives until `endsAtMs` (monotonic). What it is to have. */
  acknowledge(
    gateway: string,
    boot: string,
    said: ShareInterval & { readonly sequence: number },
    endsAtMs: number,
  ): ShareInterval & { readonly idleMs: number };
  /** The process hands out nothing any more. */
  release(gateway: string, boot: string): void;
}

const EVERYTHING: ShareInterval = { lo: 0, hi: 1 };
const NOTHING: ShareInterval = { lo: 0, hi: 0 };
/** Longer than any bucket takes to fill. */
const LONG_MS = 86_400_000;

/**
 * `remembered`: gateways that an earlier run may have given a lease that still lives, with its ends (monotonic ms).
 * `heldUntilMs`: until when somebody may have handed something out, monotonic; undefined: nobody ever has.
 */
export function createShares(
  clock: Clock,
  remembered: ReadonlyMap<string, number>,
  heldUntilMs: number | undefined,
): Shares {
  const holders = new Map<string, Holder>(
    [...remembered].map(([gateway, endsAtMs]) => [
      gateway,
      { boot: undefined, sequence: -1, parts: [EVERYTHING], endsAtMs },
    ]),
  );
  /** When somebody last gave something up. */
  let releasedMs = heldUntilMs === undefined ? undefined : Math.min(heldUntilMs, clock.monotonicMs());
  const released = (atMs: number): void => {
    releasedMs = Math.max(releasedMs ?? atMs, atMs);
  };
  const expire = (nowMs: number): void => {
    for (const [gateway, { endsAtMs }] of holders) {
      if (endsAtMs > nowMs) continue;
      holders.delete(gateway);
      released(endsAtMs);
    }
  };

  return {
    acknowledge(gateway, boot, { sequence, lo, hi }, endsAtMs) {
      const nowMs = clock.monotonicMs();
      const known = holders.get(gateway);
      const stale = known?.boot === boot && sequence <= known.sequence;
      if (stale) return { ...(known.parts.at(-1) ?? NOTHING), idleMs: 0 };
      holders.delete(gateway);
      expire(nowMs);
      const said = hi > lo ? { lo, hi } : NOTHING;
      // A gateway that has started anew, or may have, knows nothing of what it handed out before.
      const mine = known?.boot === boot || known?.boot === undefined ? said : NOTHING;
      if (known?.parts.some((part) => !within(part, mine)) === true) released(nowMs);
      const others = [...holders.values()].flatMap(({ parts }) => parts);
      const spoken = [...holders.values()].filter((holder) => holder.boot !== undefined).flatMap(({ parts }) => parts);
      // What it says was given to it while its lease lived, so it stands unless somebody that has spoken has it.
      const own = spoken.some((part) => overlap(part, said)) ? NOTHING : said;
      const names = [...holders.keys(), gateway].sort();
      const at = names.indexOf(gateway);
      const target = { lo: at / names.length, hi: (at + 1) / names.length };
      const share = freeOf(target, own, others);
      holders.set(gateway, { boot, sequence, parts: [own, share], endsAtMs });
      const idleMs = within(share, own) ? 0 : releasedMs === undefined ? LONG_MS : nowMs - releasedMs;
      return { ...share, idleMs: Math.min(LONG_MS, Math.max(0, idleMs)) };
    },
    release(gateway, boot) {
      if (holders.get(gateway)?.boot !== boot) return;
      holders.delete(gateway);
      released(clock.monotonicMs());
    },
  };
}

/** What of the target nobody else holds: the piece that begins in what is held already, else the largest. */
function freeOf(target: ShareInterval, own: ShareInterval, others: readonly ShareInterval[]): ShareInterval {
  let pieces: ShareInterval[] = [target];
  for (const other of others) {
    if (other.hi <= other.lo) continue;
    pieces = pieces.flatMap((piece) =>
      overlap(piece, other)
        ? [
            { lo: piece.lo, hi: Math.min(piece.hi, other.lo) },
            { lo: Math.max(piece.lo, other.hi), hi: piece.hi },
          ]
        : [piece],
    );
  }
  // What it has stays its own, also where a gateway that has not spoken might have it too.
  const kept = { lo: Math.max(target.lo, own.lo), hi: Math.min(target.hi, own.hi) };
  const found = pieces.filter(({ lo, hi }) => hi > lo).sort((a, b) => b.hi - b.lo - (a.hi - a.lo));
  if (kept.hi > kept.lo) return found.find((piece) => within(kept, piece)) ?? kept;
  return found[0] ?? NOTHING;
}

function overlap(a: ShareInterval, b: ShareInterval): boolean {
  return Math.max(a.lo, b.lo) < Math.min(a.hi, b.hi);
}

function within(inner: ShareInterval, outer: ShareInterval): boolean {
  return inner.hi <= inner.lo || (inner.lo >= outer.lo && inner.hi <= outer.hi);
}

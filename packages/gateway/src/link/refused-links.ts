/**
 * Tells control of links that were refused and that somebody should know of, seldom enough: whoever dials in the name of a
 * node, as often as it likes, makes one report in REPEAT_MS.
 */
import type { LinkRefusal, ReportEvent } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';

const REPEAT_MS = 10_000;
const MAX_REMEMBERED = 4_096;

export interface RefusedLinks {
  tell(refused: {
    readonly node: string;
    readonly why: LinkRefusal;
    readonly address: string;
    readonly says: string;
  }): void;
}

export function refusedLinks(clock: Clock, report: (event: ReportEvent) => void): RefusedLinks {
  /** By node and reason, the oldest first: when it was told last, monotonic. */
  const told = new Map<string, number>();
  return {
    tell({ node, why, address, says }) {
      const key = `${why} ${node}`;
      const nowMs = clock.monotonicMs();
      if (nowMs - (told.get(key) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return;
      told.delete(key);
      const [oldest] = told.keys();
      if (told.size >= MAX_REMEMBERED && oldest !== undefined) told.delete(oldest);
      told.set(key, nowMs);
      report({ type: 'link-refused', node, why, address: address.slice(0, 64), says: says.slice(0, 256) });
    },
  };
}

/**
 * Why nobody serves: every node that was considered for the pool, counted by its first reason. Looks at all members, so
 * it is for the refusal alone.
 */
import type { PoolRow } from '@subcloud/contract/table';
import type { PoolIndex } from '../table/routing-table.ts';
import { type PickView, whyNotEligible } from './filter.ts';

export interface CountedReasons {
  /** Nodes that were considered for the pool. */
  readonly considered: number;
  /** Largest first. */
  readonly reasons: Readonly<Record<string, number>>;
}

export function countReasons(
  pool: PoolRow,
  index: PoolIndex | undefined,
  model: string,
  view: PickView,
): CountedReasons {
  const counts = new Map(Object.entries(pool.excluded));
  let members = 0;
  for (const member of index?.members.values() ?? []) {
    // Control counts it among those that are not taken.
    if (view.nodes.get(member.node)?.draining === true) continue;
    members += 1;
    const reason = member.models.includes(model) ? (whyNotEligible(member, view) ?? 'tried') : 'model';
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const excluded = Object.values(pool.excluded).reduce((sum, count) => sum + count, 0);
  const sorted = [...counts].filter(([, count]) => count > 0).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  return { considered: Math.max(pool.candidates, excluded + members), reasons: Object.fromEntries(sorted) };
}

/**
 * How many nodes each pool considered, and why the others are not in it: the counts that a caller reads when nobody is
 * eligible. Kept by difference, so that a node's change costs its own pools only.
 */
export interface Exclusions {
  /** Replaces what one node counts for; `reason` null: an active member in the table. Pools not named: not considered. */
  update(node: string, reasons: ReadonlyMap<string, string | null>): void;
  of(pool: string): { readonly candidates: number; readonly excluded: Readonly<Record<string, number>> };
}

export function createExclusions(): Exclusions {
  const byNode = new Map<string, ReadonlyMap<string, string | null>>();
  const byPool = new Map<string, Map<string | null, number>>();
  const add = (pool: string, reason: string | null, difference: 1 | -1): void => {
    const counts = byPool.get(pool) ?? new Map<string | null, number>();
    byPool.set(pool, counts);
    const next = (counts.get(reason) ?? 0) + difference;
    if (next === 0) counts.delete(reason);
    else counts.set(reason, next);
  };
  return {
    update(node, reasons) {
      const before = byNode.get(node) ?? new Map<string, string | null>();
      for (const [pool, reason] of before) {
        if (reasons.has(pool) && reasons.get(pool) === reason) continue;
        add(pool, reason, -1);
      }
      for (const [pool, reason] of reasons) {
        if (before.has(pool) && before.get(pool) === reason) continue;
        add(pool, reason, 1);
      }
      if (reasons.size === 0) byNode.delete(node);
      else byNode.set(node, new Map(reasons));
    },
    of(pool) {
      const counts = byPool.get(pool) ?? new Map<string | null, number>();
      let candidates = 0;
      const excluded: Record<string, number> = {};
      for (const [reason, count] of [...counts].sort(([a], [b]) => String(a).localeCompare(String(b)))) {
        candidates += count;
        if (reason !== null) excluded[reason] = count;
      }
      return { candidates, excluded };
    },
  };
}

/**
 * How many nodes each pool considered, and why the others are not in it: the counts that a caller reads when nobody is
 * eligible. Kept by difference, so that a node's change costs its own pools only, and in one byte a (node, pool), so that
 * pairs that are no members cost next to nothing.
 */
export interface Exclusions {
  /**
   * What one node counts for in some pools: a reason, or null for a member in the table, or undefined where the pool does
   * not consider it. Pools that are not named stay as they are.
   */
  update(node: string, reasons: Iterable<readonly [pool: string, reason: string | null | undefined]>): void;
  /** The same for one pool. */
  note(node: string, pool: string, reason: string | null | undefined): void;
  /** The node is gone. */
  forget(node: string): void;
  /** The pool is gone. */
  drop(pool: string): void;
  /** Pools whose counts have changed since the last call. */
  changed(): ReadonlySet<string>;
  of(pool: string): { readonly candidates: number; readonly excluded: Readonly<Record<string, number>> };
}

const NOT_CONSIDERED = 0;
const MEMBER = 1;
/** Codes of reasons begin here; a byte holds 254 of them, and there are some twenty. */
const FIRST_REASON = 2;
const MAX_CODE = 255;
const OTHER = 'other';

export function createExclusions(): Exclusions {
  const codes = new Map<string, number>();
  const reasons: string[] = [];
  const slots = new Map<string, number>();
  const freeSlots: number[] = [];
  const byNode = new Map<string, Uint8Array>();
  /** Counts by code, for every slot. */
  const bySlot: Uint32Array[] = [];
  const names: string[] = [];
  let changed = new Set<string>();

  const codeOf = (reason: string): number => {
    const known = codes.get(reason);
    if (known !== undefined) return known;
    const code = FIRST_REASON + reasons.length;
    if (code >= MAX_CODE) return codeOf(OTHER);
    reasons.push(reason);
    codes.set(reason, code);
    return code;
  };
  codeOf(OTHER);
  const slotOf = (pool: string): number => {
    const known = slots.get(pool);
    if (known !== undefined) return known;
    const slot = freeSlots.pop() ?? bySlot.length;
    bySlot[slot] = new Uint32Array(MAX_CODE + 1);
    slots.set(pool, slot);
    names[slot] = pool;
    return slot;
  };
  const rowOf = (node: string, slot: number): Uint8Array => {
    const row = byNode.get(node);
    if (row !== undefined && row.length > slot) return row;
    const wider = new Uint8Array(Math.max(16, 2 ** Math.ceil(Math.log2(slot + 1))));
    if (row !== undefined) wider.set(row);
    byNode.set(node, wider);
    return wider;
  };
  const count = (slot: number, code: number, difference: 1 | -1): void => {
    const counts = bySlot[slot];
    if (counts === undefined || code === NOT_CONSIDERED) return;
    counts[code] = (counts[code] ?? 0) + difference;
    const pool = names[slot];
    if (pool !== undefined) changed.add(pool);
  };

  const note: Exclusions['note'] = (node, pool, reason) => {
    const code = reason === undefined ? NOT_CONSIDERED : reason === null ? MEMBER : codeOf(reason);
    const slot = slotOf(pool);
    const row = rowOf(node, slot);
    const before = row[slot] ?? NOT_CONSIDERED;
    if (before === code) return;
    count(slot, before, -1);
    count(slot, code, 1);
    row[slot] = code;
  };
  return {
    note,
    update(node, entries) {
      for (const [pool, reason] of entries) note(node, pool, reason);
    },
    forget(node) {
      byNode.get(node)?.forEach((code, slot) => count(slot, code, -1));
      byNode.delete(node);
    },
    drop(pool) {
      const slot = slots.get(pool);
      if (slot === undefined) return;
      slots.delete(pool);
      changed.delete(pool);
      for (const row of byNode.values()) if (slot < row.length) row[slot] = NOT_CONSIDERED;
      freeSlots.push(slot);
    },
    changed() {
      const taken = changed;
      changed = new Set();
      return taken;
    },
    of(pool) {
      const counts = bySlot[slots.get(pool) ?? -1];
      let candidates = 0;
      const excluded: Record<string, number> = {};
      if (counts !== undefined) {
        candidates = counts[MEMBER] ?? 0;
        for (const reason of [...reasons].sort()) {
          const nodes = counts[codes.get(reason) ?? NOT_CONSIDERED] ?? 0;
          if (nodes > 0) excluded[reason] = nodes;
          candidates += nodes;
        }
      }
      return { candidates, excluded };
    },
  };
}

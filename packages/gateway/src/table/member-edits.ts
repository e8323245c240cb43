/**
 * The members of a delta, taken in row by row as they come: its commit does for each pool that it touches what is left,
 * and copies nothing that it does not touch. Nobody sees anything of it before.
 */
import type { MemberRow } from '@subcloud/contract/table';
import type { PoolIndex } from './routing-table.ts';
import { ShardedMap, type ShardedMapEditor } from './sharded-map.ts';

type PoolIndexes = ReadonlyMap<string, PoolIndex>;

export interface MemberEdits {
  /** Undefined: no member any more. What is said last of a node counts. */
  set(pool: string, node: string, row: MemberRow | undefined): void;
  done(): PoolIndexes;
}

interface PoolEdits {
  readonly base: PoolIndex;
  readonly members: ShardedMapEditor<MemberRow>;
  readonly touched: Set<string>;
  /** Rows of the base, by node, that leave the arrays that they stand in. */
  readonly left: Map<string, MemberRow>;
  /** Arrays that change, by model, with the rows that enter them. */
  readonly arriving: Map<string, MemberRow[]>;
  /** Some node was set twice: the first row has come in vain. */
  repeats: boolean;
}

const NO_INDEX: PoolIndex = { members: ShardedMap.empty(), byModel: new Map() };

export function memberEdits(base: PoolIndexes): MemberEdits {
  const pools = new Map<string, PoolEdits>();
  return {
    set(pool, node, row) {
      let edits = pools.get(pool);
      if (edits === undefined) pools.set(pool, (edits = begin(base.get(pool) ?? NO_INDEX)));
      edit(edits, node, row);
    },
    done() {
      if (pools.size === 0) return base;
      const indexes = new Map(base);
      for (const [pool, edits] of pools) {
        const index = finish(edits);
        if (index.members.size === 0) indexes.delete(pool);
        else indexes.set(pool, index);
      }
      return indexes;
    },
  };
}

function begin(base: PoolIndex): PoolEdits {
  return {
    base,
    members: base.members.edit(),
    touched: new Set(),
    left: new Map(),
    arriving: new Map(),
    repeats: false,
  };
}

function edit(edits: PoolEdits, node: string, row: MemberRow | undefined): void {
  const { base, members, touched, left, arriving } = edits;
  if (touched.has(node)) edits.repeats = true;
  else {
    touched.add(node);
    // A changed row leaves every array that it stood in, and enters those of its new models.
    const before = base.members.get(node);
    if (before !== undefined) left.set(node, before);
    for (const model of before?.models ?? []) if (!arriving.has(model)) arriving.set(model, []);
  }
  members.set(node, row);
  if (row === undefined) return;
  for (const model of row.models.length > 1 ? new Set(row.models) : row.models) {
    const rows = arriving.get(model);
    if (rows === undefined) arriving.set(model, [row]);
    else rows.push(row);
  }
}

function finish({ base, members, left, arriving, repeats }: PoolEdits): PoolIndex {
  const made = members.done();
  const byModel = new Map(base.byModel);
  for (const [model, rows] of arriving) {
    const staying = without(byModel.get(model) ?? [], left);
    const all = staying.concat(repeats ? rows.filter((row) => made.get(row.node) === row) : rows);
    if (all.length === 0) byModel.delete(model);
    else byModel.set(model, all);
  }
  return { members: made, byModel };
}

/** A few are found by what they are, which is far faster than to ask every row who it is. */
const FEW = 64;

function without(rows: readonly MemberRow[], left: ReadonlyMap<string, MemberRow>): readonly MemberRow[] {
  if (left.size === 0) return rows;
  if (left.size > FEW) return rows.filter((row) => left.get(row.node) !== row);
  const staying = [...rows];
  for (const row of left.values()) {
    const at = staying.indexOf(row);
    const last = at === -1 ? undefined : staying.pop();
    // The rows of a model are in no order.
    if (last !== undefined && last !== row) staying[at] = last;
  }
  return staying;
}

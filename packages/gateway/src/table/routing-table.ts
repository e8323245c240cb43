/**
 * The routing table as the request path reads it: one immutable value per version, swapped at once. A change shares all
 * that it does not touch with the version before. Rows that make no sense (a kind, a key or a shape that this release
 * does not know) throw `TableError`, and the whole version is refused.
 */
import {
  type CredentialRow,
  type DocumentRow,
  type MemberRow,
  type NetworkRow,
  type NodeRow,
  type PoolRow,
  type PrincipalRow,
  type RowKind,
  type RowTypes,
  kindOfKey,
  rowKey,
} from '@subcloud/contract/table';
import { rowSchemas } from '@subcloud/contract/table-schemas';
import { ShardedMap } from './sharded-map.ts';
import { type SnapshotTable, snapshotTable } from './snapshot-table.ts';

export class TableError extends Error {
  override readonly name = 'TableError';
}

/** What one pool offers: for each model the member rows that may serve it, in no order. */
export interface PoolIndex {
  readonly members: ShardedMap<MemberRow>;
  readonly byModel: ReadonlyMap<string, readonly MemberRow[]>;
}

export interface RoutingTable {
  readonly version: number;
  readonly epoch: number;
  readonly network: NetworkRow | undefined;
  /** By name. */
  readonly pools: ShardedMap<PoolRow>;
  /** By name of the pool. */
  readonly poolIndexes: ReadonlyMap<string, PoolIndex>;
  readonly nodes: ShardedMap<NodeRow>;
  /** By SHA-256 hex of the secret. */
  readonly credentials: ShardedMap<CredentialRow>;
  /** By id; one without a row belongs to nobody and is not bound itself. */
  readonly principals: ShardedMap<PrincipalRow>;
  /** By node. */
  readonly documents: ShardedMap<DocumentRow>;
}

export const EMPTY_TABLE: RoutingTable = {
  version: 0,
  epoch: 0,
  network: undefined,
  pools: ShardedMap.empty(),
  poolIndexes: new Map(),
  nodes: ShardedMap.empty(),
  credentials: ShardedMap.empty(),
  principals: ShardedMap.empty(),
  documents: ShardedMap.empty(),
};

const NO_MEMBERS: readonly MemberRow[] = [];

export function membersServing(table: RoutingTable, pool: string, model: string): readonly MemberRow[] {
  return table.poolIndexes.get(pool)?.byModel.get(model) ?? NO_MEMBERS;
}

type Changes = { readonly [Kind in RowKind]: Map<string, RowTypes[Kind] | undefined> };

/**
 * What changed from one version to the next, for those who must act on it. A snapshot replaces everything (`whole`), what it
 * does not name is gone: then the table is what to look at, and the maps are empty.
 */
export interface TableChange {
  readonly table: RoutingTable;
  readonly nodes: ReadonlyMap<string, NodeRow | undefined>;
  readonly credentials: ReadonlyMap<string, CredentialRow | undefined>;
  readonly documents: ReadonlyMap<string, DocumentRow | undefined>;
  readonly whole: boolean;
  /** `pool/node` of rows that cut answers in flight. */
  readonly cuts: ReadonlySet<string>;
  /** Somebody may be banned now who was not: a pool's row or what a principal belongs to has changed. */
  readonly bansChanged: boolean;
}

/** Collects the rows of one version and makes the table of them; nothing is seen before `commit`. */
export class TableBuilder {
  readonly #base: RoutingTable;
  readonly #whole: boolean;
  readonly #changes: Changes = {
    network: new Map(),
    pool: new Map(),
    node: new Map(),
    member: new Map(),
    credential: new Map(),
    principal: new Map(),
    document: new Map(),
  };

  readonly #cuts = new Set<string>();
  /** A snapshot is indexed row by row as it comes, so that its commit stalls nobody, however large it is. */
  readonly #snapshot: SnapshotTable | undefined;

  constructor(base: RoutingTable, mode: 'snapshot' | 'delta') {
    this.#base = mode === 'snapshot' ? EMPTY_TABLE : base;
    this.#whole = mode === 'snapshot';
    this.#snapshot = mode === 'snapshot' ? snapshotTable() : undefined;
  }

  /** Throws TableError when the row is not one that this release knows. */
  set(key: string, value: unknown): void {
    const kind = kindOfKey(key);
    if (kind === undefined) throw new TableError('the table has a row of an unknown kind');
    const parsed = rowSchemas[kind].safeParse(value);
    if (!parsed.success) {
      const where = parsed.error.issues[0]?.path.join('.') ?? '';
      throw new TableError(`a ${kind} row has another shape${where === '' ? '' : ` at ${where}`}`);
    }
    const row = parsed.data;
    if (canonicalKey(kind, key, row) !== key) throw new TableError(`a ${kind} row stands under another row's key`);
    const rest = keyRest(kind, key);
    if (kind === 'member' && (row as MemberRow).cut === true) this.#cuts.add(rest);
    if (this.#snapshot === undefined) (this.#changes[kind] as Map<string, unknown>).set(rest, row);
    else if (!this.#snapshot.add(kind, rest, row)) throw new TableError('a snapshot has a row twice');
  }

  delete(key: string): void {
    if (this.#snapshot !== undefined) throw new TableError('a snapshot deletes a row');
    const kind = kindOfKey(key);
    if (kind === undefined) throw new TableError('the table has a row of an unknown kind');
    this.#changes[kind].set(keyRest(kind, key), undefined);
  }

  commit(version: number, epoch: number): TableChange {
    const { network, pool, node, member, credential, principal, document } = this.#changes;
    const base = this.#base;
    const cuts = this.#cuts;
    const table: RoutingTable = this.#snapshot?.done(version, epoch) ?? {
      version,
      epoch,
      network: network.has('') ? network.get('') : base.network,
      pools: base.pools.with(pool),
      poolIndexes: indexMembers(base.poolIndexes, member),
      nodes: base.nodes.with(node),
      credentials: base.credentials.with(credential),
      principals: base.principals.with(principal),
      documents: base.documents.with(document),
    };
    const whole = this.#whole;
    const bansChanged = whole || principal.size > 0 || [...pool.values()].some((row) => row?.banned !== undefined);
    return { table, nodes: node, credentials: credential, documents: document, whole, cuts, bansChanged };
  }
}

function keyRest(kind: RowKind, key: string): string {
  return key.slice(kind.length + 1);
}

function canonicalKey(kind: RowKind, key: string, row: RowTypes[RowKind]): string {
  switch (kind) {
    case 'network':
      return rowKey.network();
    case 'pool':
      return rowKey.pool((row as PoolRow).name);
    case 'node':
      return rowKey.node((row as NodeRow).id);
    case 'member':
      return rowKey.member((row as MemberRow).pool, (row as MemberRow).node);
    case 'credential':
      // The row does not repeat the hash that it is keyed by.
      return /^credential\/[0-9a-f]{64}$/.test(key) ? key : '';
    case 'principal':
      return rowKey.principal((row as PrincipalRow).id);
    case 'document':
      return rowKey.document((row as DocumentRow).node);
  }
}

/** Rebuilds only the (pool, model) arrays that a changed member stands in; `changes` is keyed `pool/node`. */
function indexMembers(
  base: ReadonlyMap<string, PoolIndex>,
  changes: ReadonlyMap<string, MemberRow | undefined>,
): ReadonlyMap<string, PoolIndex> {
  if (changes.size === 0) return base;
  const byPool = new Map<string, Map<string, MemberRow | undefined>>();
  for (const [key, row] of changes) {
    const slash = key.indexOf('/');
    const pool = key.slice(0, slash);
    let ofPool = byPool.get(pool);
    if (ofPool === undefined) byPool.set(pool, (ofPool = new Map()));
    // A row that cuts is no member.
    ofPool.set(key.slice(slash + 1), row?.cut === true ? undefined : row);
  }
  const indexes = new Map(base);
  for (const [pool, rows] of byPool) {
    const index = changePool(indexes.get(pool), rows);
    if (index.members.size === 0) indexes.delete(pool);
    else indexes.set(pool, index);
  }
  return indexes;
}

function changePool(base: PoolIndex | undefined, rows: ReadonlyMap<string, MemberRow | undefined>): PoolIndex {
  const members = base?.members ?? ShardedMap.empty<MemberRow>();
  const added = new Map<string, MemberRow[]>();
  for (const [node, row] of rows) {
    // A changed row leaves every array that it stood in, and enters those of its new models.
    for (const model of members.get(node)?.models ?? []) if (!added.has(model)) added.set(model, []);
    if (row === undefined) continue;
    for (const model of new Set(row.models)) {
      const arriving = added.get(model);
      if (arriving === undefined) added.set(model, [row]);
      else arriving.push(row);
    }
  }
  const byModel = new Map(base?.byModel);
  for (const [model, arriving] of added) {
    const staying = (byModel.get(model) ?? []).filter(({ node }) => !rows.has(node));
    const all = staying.concat(arriving);
    if (all.length === 0) byModel.delete(model);
    else byModel.set(model, all);
  }
  return { members: members.with(rows), byModel };
}

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
import { type MemberEdits, memberEdits } from './member-edits.ts';
import { ShardedMap, type ShardedMapEditor } from './sharded-map.ts';
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
  /** Of them, those that are out of service. */
  readonly draining: ReadonlySet<string>;
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
  draining: new Set(),
  credentials: ShardedMap.empty(),
  principals: ShardedMap.empty(),
  documents: ShardedMap.empty(),
};

const NO_MEMBERS: readonly MemberRow[] = [];

export function membersServing(table: RoutingTable, pool: string, model: string): readonly MemberRow[] {
  return table.poolIndexes.get(pool)?.byModel.get(model) ?? NO_MEMBERS;
}

type Changes = { readonly [Kind in Exclude<RowKind, 'member'>]: Map<string, RowTypes[Kind] | undefined> };
type Edits = { readonly [Kind in Exclude<RowKind, 'member' | 'network'>]: ShardedMapEditor<RowTypes[Kind]> } & {
  readonly member: MemberEdits;
};

function editsOf({ pools, nodes, credentials, principals, documents, poolIndexes }: RoutingTable): Edits {
  return {
    pool: pools.edit(),
    node: nodes.edit(),
    credential: credentials.edit(),
    principal: principals.edit(),
    document: documents.edit(),
    member: memberEdits(poolIndexes),
  };
}

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
    credential: new Map(),
    principal: new Map(),
    document: new Map(),
  };

  readonly #cuts = new Set<string>();
  /** What comes is indexed row by row, so that a commit stalls nobody, however much it brings. */
  readonly #snapshot: SnapshotTable | undefined;
  readonly #edits: Edits;

  constructor(base: RoutingTable, mode: 'snapshot' | 'delta') {
    this.#base = mode === 'snapshot' ? EMPTY_TABLE : base;
    this.#whole = mode === 'snapshot';
    this.#snapshot = mode === 'snapshot' ? snapshotTable() : undefined;
    this.#edits = editsOf(this.#base);
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
    if (this.#snapshot === undefined) this.#change(kind, rest, row);
    else if (!this.#snapshot.add(kind, rest, row)) throw new TableError('a snapshot has a row twice');
  }

  delete(key: string): void {
    if (this.#snapshot !== undefined) throw new TableError('a snapshot deletes a row');
    const kind = kindOfKey(key);
    if (kind === undefined) throw new TableError('the table has a row of an unknown kind');
    this.#change(kind, keyRest(kind, key), undefined);
  }

  #change(kind: RowKind, rest: string, row: RowTypes[RowKind] | undefined): void {
    if (kind === 'member') {
      const slash = rest.indexOf('/');
      const member = row as MemberRow | undefined;
      // A row that cuts is no member.
      this.#edits.member.set(rest.slice(0, slash), rest.slice(slash + 1), member?.cut === true ? undefined : member);
      return;
    }
    (this.#changes[kind] as Map<string, unknown>).set(rest, row);
    if (kind !== 'network') (this.#edits[kind] as ShardedMapEditor<unknown>).set(rest, row);
  }

  commit(version: number, epoch: number): TableChange {
    const { network, pool, node, credential, principal, document } = this.#changes;
    const base = this.#base;
    const cuts = this.#cuts;
    const edits = this.#edits;
    const table: RoutingTable = this.#snapshot?.done(version, epoch) ?? {
      version,
      epoch,
      network: network.has('') ? network.get('') : base.network,
      pools: edits.pool.done(),
      poolIndexes: edits.member.done(),
      nodes: edits.node.done(),
      draining: drainingAfter(base.draining, node),
      credentials: edits.credential.done(),
      principals: edits.principal.done(),
      documents: edits.document.done(),
    };
    const whole = this.#whole;
    const bansChanged = whole || principal.size > 0 || [...pool.values()].some((row) => row?.banned !== undefined);
    return { table, nodes: node, credentials: credential, documents: document, whole, cuts, bansChanged };
  }
}

function drainingAfter(
  before: ReadonlySet<string>,
  changes: ReadonlyMap<string, NodeRow | undefined>,
): ReadonlySet<string> {
  const after = new Set(before);
  for (const [id, row] of changes) {
    if (row?.draining === true) after.add(id);
    else after.delete(id);
  }
  return after;
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

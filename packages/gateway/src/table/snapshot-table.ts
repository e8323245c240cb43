/**
 * A table made row by row as a snapshot comes: nothing is left to do at its commit. What is kept is as little as can be,
 * since what a snapshot keeps is what the garbage collector has to carry while it comes, and requests wait meanwhile.
 */
import type {
  CredentialRow,
  DocumentRow,
  MemberRow,
  NetworkRow,
  NodeRow,
  PoolRow,
  PrincipalRow,
  RowKind,
  RowTypes,
} from '@subcloud/contract/table';
import type { RoutingTable } from './routing-table.ts';
import { ShardedMap, type ShardedMapCollector } from './sharded-map.ts';

export interface SnapshotTable {
  /** `rest`: of its key. False when the row is there already. */
  readonly add: (kind: RowKind, rest: string, row: RowTypes[RowKind]) => boolean;
  readonly done: (version: number, epoch: number) => RoutingTable;
}

export function snapshotTable(): SnapshotTable {
  let network: NetworkRow | undefined;
  const pools = ShardedMap.collect<PoolRow>();
  const nodes = ShardedMap.collect<NodeRow>();
  const draining = new Set<string>();
  const credentials = ShardedMap.collect<CredentialRow>();
  const principals = ShardedMap.collect<PrincipalRow>();
  const documents = ShardedMap.collect<DocumentRow>();
  const members = memberIndexes();
  return {
    add(kind, rest, row) {
      switch (kind) {
        case 'network':
          if (network !== undefined) return false;
          network = row as NetworkRow;
          return true;
        case 'pool':
          return pools.add(rest, row as PoolRow);
        case 'node':
          if ((row as NodeRow).draining === true) draining.add(rest);
          return nodes.add(rest, row as NodeRow);
        case 'member':
          return members.add(row as MemberRow);
        case 'credential':
          return credentials.add(rest, row as CredentialRow);
        case 'principal':
          return principals.add(rest, row as PrincipalRow);
        case 'document':
          return documents.add(rest, row as DocumentRow);
      }
    },
    done: (version, epoch) => ({
      version,
      epoch,
      network,
      pools: pools.done(),
      poolIndexes: members.done(),
      nodes: nodes.done(),
      draining,
      credentials: credentials.done(),
      principals: principals.done(),
      documents: documents.done(),
    }),
  };
}

function memberIndexes(): {
  add(row: MemberRow): boolean;
  done(): RoutingTable['poolIndexes'];
} {
  const indexes = new Map<string, { all: ShardedMapCollector<MemberRow>; byModel: Map<string, MemberRow[]> }>();
  const shared = sharedTexts();
  return {
    add(row) {
      // A row that cuts is no member.
      if (row.cut === true) return true;
      const member = shared(row);
      let index = indexes.get(member.pool);
      if (index === undefined) {
        index = { all: ShardedMap.collect<MemberRow>(), byModel: new Map() };
        indexes.set(member.pool, index);
      }
      if (!index.all.add(member.node, member)) return false;
      for (const model of new Set(member.models)) {
        const serving = index.byModel.get(model);
        if (serving === undefined) index.byModel.set(model, [member]);
        else serving.push(member);
      }
      return true;
    },
    done: () => new Map([...indexes].map(([pool, { all, byModel }]) => [pool, { members: all.done(), byModel }])),
  };
}

/** Names and lists of models stand in thousands of rows: each is kept once. */
function sharedTexts(): (row: MemberRow) => MemberRow {
  const texts = new Map<string, string>();
  const lists = new Map<string, readonly string[]>();
  const text = (value: string): string => {
    const known = texts.get(value);
    if (known === undefined) texts.set(value, value);
    return known ?? value;
  };
  const list = (models: readonly string[]): readonly string[] => {
    // One that no model id can hold.
    const key = models.join('\n');
    const known = lists.get(key);
    if (known === undefined) lists.set(key, models);
    return known ?? models;
  };
  return (row) => ({ ...row, pool: text(row.pool), node: text(row.node), models: list(row.models) });
}

/**
 * Rows in memory, and of SQL as much as the control loop says: statements come as Kysely's syntax trees, before they are
 * text, and what this does not know it refuses. Columns of type jsonb hold values, as they come back from PostgreSQL.
 */
import type { CompiledQuery, OperationNode } from 'kysely';
import { type Row, type Tree, columnOf, entries, matches, tableOf, valueOf } from './conditions.ts';
import { runRaw } from './raw-statements.ts';

export type Tables = Map<string, Map<string, Row>>;

/** Tables whose rows are told apart by something; the rest of the schema is empty here, or written and never read. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  network: [],
  nodes: ['id'],
  subclouds: ['id'],
  revisions: ['subcloud_id', 'number'],
  memberships: ['node_id', 'subcloud_id'],
  node_documents: ['node_id'],
  claims: ['node_id', 'fact', 'source', 'issuer'],
  gateways: ['id'],
  gateway_leases: ['gateway_id', 'boot'],
  principals: ['id'],
};
const JSONB: ReadonlySet<string> = new Set(['consent', 'declaration', 'document', 'agreed', 'value', 'manifest']);
/** Of columns that an insert may leave out. */
const DEFAULTS: Readonly<Record<string, Row>> = {
  claims: { digest: null, revoked_at: null, issuer_owner: null },
};

export function keyOf(table: string, row: Row): string {
  const columns = KEYS[table];
  if (columns === undefined) throw new Error(`the simulated store has no table ${table}`);
  return columns.map((column) => String(row[column])).join('\n');
}

export function isKept(table: string): boolean {
  return table in KEYS;
}

export function rowsOf(tables: Tables, table: string): Map<string, Row> {
  let rows = tables.get(table);
  if (rows === undefined) tables.set(table, (rows = new Map()));
  return rows;
}

/** A copy that later changes do not reach: rows are replaced, and never changed in place. */
export function copyOf(tables: Tables): Tables {
  return new Map([...tables].map(([name, rows]) => [name, new Map(rows)]));
}

export function stored(column: string, value: unknown): unknown {
  return JSONB.has(column) && typeof value === 'string' ? (JSON.parse(value) as unknown) : value;
}

export function isRead({ query }: CompiledQuery): boolean {
  return query.kind === 'SelectQueryNode';
}

/** Does what a statement says; returns the rows that it reads. */
export function run(tables: Tables, query: OperationNode): readonly Row[] {
  const tree = query as unknown as Tree;
  const kind: string = query.kind;
  switch (kind) {
    case 'SelectQueryNode':
      return select(tables, tree);
    case 'InsertQueryNode':
      insert(tables, tree);
      return [];
    case 'UpdateQueryNode': {
      const rows = rowsOf(tables, tableOf(tree['table']));
      const changes = entries(tree['updates']).map((update) => [columnOf(update['column']), update['value']] as const);
      for (const [key, row] of rows) {
        if (!matches(row, tree['where'])) continue;
        const changed = changes.map(([column, value]) => [column, stored(column, valueOf(row, value))]);
        rows.set(key, { ...row, ...Object.fromEntries(changed) });
      }
      return [];
    }
    case 'DeleteQueryNode': {
      const rows = rowsOf(tables, tableOf(entries((tree['from'] as Tree)['froms'])[0]));
      for (const [key, row] of rows) if (matches(row, tree['where'])) rows.delete(key);
      return [];
    }
    case 'RawNode':
      runRaw(tables, tree);
      return [];
    default:
      throw new Error(`the simulated store does not know a ${kind}`);
  }
}

function insert(tables: Tables, tree: Tree): void {
  const table = tableOf(tree['into']);
  if (!isKept(table)) return;
  const rows = rowsOf(tables, table);
  const columns = entries(tree['columns']).map(columnOf);
  const conflict = tree['onConflict'] as Tree | undefined;
  for (const list of entries((tree['values'] as Tree)['values'])) {
    const values = (list['values'] as unknown[]).map((value) =>
      list['kind'] === 'PrimitiveValueListNode' ? value : (value as Tree)['value'],
    );
    const given = Object.fromEntries(columns.map((column, index) => [column, stored(column, values[index])]));
    const row = { ...DEFAULTS[table], ...given };
    const key = keyOf(table, row);
    const known = rows.get(key);
    if (known === undefined) rows.set(key, row);
    else if (conflict === undefined) throw new Error(`${table} has a row ${JSON.stringify(key)} already`);
    else if (conflict['doNothing'] !== true) rows.set(key, updated(known, given, conflict));
  }
}

function updated(known: Row, given: Row, conflict: Tree): Row {
  const changed: [string, unknown][] = entries(conflict['updates']).map((update) => {
    const column = columnOf(update['column']);
    const value = update['value'] as Tree;
    return [column, value['kind'] === 'ReferenceNode' ? given[columnOf(value)] : stored(column, value['value'])];
  });
  return { ...known, ...Object.fromEntries(changed) };
}

function select(tables: Tables, tree: Tree): readonly Row[] {
  const table = tableOf(entries((tree['from'] as Tree)['froms'])[0]);
  if (!isKept(table)) return entries(tree['selections']).some(isAggregate) ? [{ at: null }] : [];
  let rows: readonly Row[] = [...rowsOf(tables, table).values()];
  for (const join of entries(tree['joins'])) rows = joined(tables, rows, table, join);
  if (tree['where'] !== undefined) rows = rows.filter((row) => matches(row, tree['where']));
  const order = (tree['orderBy'] as Tree | undefined)?.['items'];
  for (const item of entries(order).toReversed()) rows = sorted(rows, item);
  const distinct = entries(tree['distinctOn']).map(columnOf)[0];
  if (distinct !== undefined) rows = rows.filter((row, index) => rows[index - 1]?.[distinct] !== row[distinct]);
  const limit = ((tree['limit'] as Tree | undefined)?.['limit'] as Tree | undefined)?.['value'];
  return typeof limit === 'number' ? rows.slice(0, limit) : rows;
}

/** Columns of both, each under its bare name; those of the left table win, and `TABLE.COLUMN` says which. */
function joined(tables: Tables, left: readonly Row[], leftTable: string, join: Tree): readonly Row[] {
  const table = tableOf(join['table']);
  const right = isKept(table) ? [...rowsOf(tables, table).values()] : [];
  const prefixed = (name: string, row: Row): Row =>
    Object.fromEntries(Object.entries(row).map(([column, value]) => [`${name}.${column}`, value]));
  return left.flatMap((one) =>
    right
      .map((other) => ({ ...other, ...one, ...prefixed(leftTable, one), ...prefixed(table, other) }))
      .filter((both) => matches(both, join['on'])),
  );
}

function sorted(rows: readonly Row[], item: Tree): readonly Row[] {
  const column = columnOf(item['orderBy']);
  // Ids of claims are drawn by no seed: their rows stand in the order in which they came.
  if (column === 'id') return rows;
  const isDown = JSON.stringify(item['direction'] ?? '').includes('desc');
  return rows.toSorted((a, b) => {
    const [x, y] = isDown ? [b[column], a[column]] : [a[column], b[column]];
    return x === y ? 0 : (x as string | number) < (y as string | number) ? -1 : 1;
  });
}

function isAggregate(selection: Tree): boolean {
  return ((selection['selection'] as Tree)['node'] as Tree | undefined)?.['kind'] === 'AggregateFunctionNode';
}

/** The statements of the control loop that are written out as SQL, each by its first words. */
import type { Row, Tree } from './conditions.ts';
import { type Tables, keyOf, rowsOf, stored } from './rows.ts';

type Given = readonly (readonly unknown[])[];

const STATEMENTS: Readonly<Record<string, (tables: Tables, given: Given) => void>> = {
  'insert into memberships'(tables, [given]) {
    const rows = rowsOf(tables, 'memberships');
    for (const row of JSON.parse(String(given)) as Row[]) rows.set(keyOf('memberships', row), row);
  },
  // Written, and never read here.
  'insert into events'() {},
  'delete from memberships using unnest'(tables, [nodes = [], subclouds = []]) {
    const rows = rowsOf(tables, 'memberships');
    nodes.forEach((node, index) => rows.delete(keyOf('memberships', { node_id: node, subcloud_id: subclouds[index] })));
  },
  'update node_documents set acknowledged'(tables, [nodes = [], serials = [], agreed = []]) {
    nodes.forEach((node, index) =>
      change(tables, 'node_documents', String(node), (row) =>
        row['serial'] === serials[index]
          ? { ...row, acknowledged: true, agreed: stored('agreed', agreed[index]) }
          : row,
      ),
    );
  },
  'update nodes set last_seen_at'(tables, [nodes = [], seen = []]) {
    nodes.forEach((node, index) =>
      change(tables, 'nodes', String(node), (row) => ({ ...row, last_seen_at: seen[index] })),
    );
  },
  'update nodes set told_online = not told_online'(tables, [nodes = []]) {
    for (const node of nodes)
      change(tables, 'nodes', String(node), (row) => ({ ...row, told_online: row['told_online'] !== true }));
  },
  // Usage is in no table here.
  'with old as (delete from usage'() {},
};

function change(tables: Tables, table: string, key: string, to: (row: Row) => Row): void {
  const rows = rowsOf(tables, table);
  const row = rows.get(key);
  if (row !== undefined) rows.set(key, to(row));
}

export function runRaw(tables: Tables, { sqlFragments, parameters }: Tree): void {
  const [first = ''] = sqlFragments as readonly string[];
  const known = Object.entries(STATEMENTS).find(([words]) => first.trimStart().startsWith(words));
  if (known === undefined) throw new Error(`the simulated store does not know the statement ${first}`);
  known[1](
    tables,
    (parameters as readonly Tree[]).map((parameter) => parameter['value'] as readonly unknown[]),
  );
}

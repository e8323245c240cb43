import { rowKey } from '@subcloud/contract/table';
import { generateSigningKey } from '@subcloud/kit/signing';
import { memberRow, nodeRow, poolRow } from '@subcloud/testkit/test-gateway';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EMPTY_TABLE, type RoutingTable, TableBuilder, membersServing } from './routing-table.ts';

const POOLS = ['a', 'b'];
const MODELS = ['m1', 'm2', 'm3'];
const PUBLIC_KEY = generateSigningKey().publicKey;
const change = fc.record({
  pool: fc.constantFrom(...POOLS),
  node: fc.nat(6).map((number) => `nod_${number}`),
  models: fc.option(fc.uniqueArray(fc.constantFrom(...MODELS), { maxLength: 3 })),
  share: fc.option(fc.constantFrom(0.25, 0.5), { nil: undefined }),
  validUntil: fc.option(fc.nat(9)),
  /** Of the node's own row; undefined: nothing is said of it. */
  draining: fc.option(fc.boolean(), { nil: undefined }),
});

/** Every (pool, model) with its rows, whole, and what is known of nodes, in a form that can be compared. */
function shape(table: RoutingTable): unknown {
  const members = POOLS.flatMap((pool) =>
    MODELS.map((model) => [
      pool,
      model,
      [...membersServing(table, pool, model)].sort((one, other) => (one.node < other.node ? -1 : 1)),
    ]),
  );
  const nodes = [...table.nodes.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  return [members, nodes, [...table.draining].sort()];
}

test('deltas lead to the same table as a snapshot of all rows, and never change the one before', () => {
  fc.assert(
    fc.property(fc.array(fc.array(change, { maxLength: 6 }), { maxLength: 12 }), (versions) => {
      let table = EMPTY_TABLE;
      const rows = new Map<string, readonly [string, unknown]>();
      for (const [index, changes] of versions.entries()) {
        const before = table;
        const beforeShape = JSON.stringify(shape(before));
        const builder = new TableBuilder(table, 'delta');
        for (const { pool, node, models, share, validUntil, draining } of changes) {
          const key = rowKey.member(pool, node);
          if (draining !== undefined) {
            const [nodeKey, row] = nodeRow(node, PUBLIC_KEY);
            const nodeRows = [nodeKey, { ...(row as object), ...(draining ? { draining } : {}) }] as const;
            rows.set(nodeKey, nodeRows);
            builder.set(...nodeRows);
          }
          if (models === null) {
            rows.delete(key);
            builder.delete(key);
          } else {
            const [, value] = memberRow(pool, node, models);
            const more = share === undefined ? { validUntil } : { validUntil, share };
            const row = [key, { ...(value as object), ...more }] as const;
            rows.set(key, row);
            builder.set(...row);
          }
        }
        table = builder.commit(index + 1, 1).table;
        const snapshot = new TableBuilder(table, 'snapshot');
        for (const row of rows.values()) snapshot.set(...row);
        expect(shape(table)).toEqual(shape(snapshot.commit(index + 1, 1).table));
        expect(JSON.stringify(shape(before))).toBe(beforeShape);
      }
    }),
  );
});

test.each([
  ['mystery/x', {}],
  ['pool/a', { ...poolRow('a')[1], access: { tokens: false, whitelist: [] } }],
  ['pool/a', poolRow('b')[1]],
  ['pool/a', { name: 'a' }],
  ['credential/abc', { id: 'k', kind: 'account', principal: 'user:a', pool: null, expiresAt: null }],
  ['member/a/nod_1', { ...memberRow('a', 'nod_1')[1], models: 'all' }],
])('a row that this release does not know is refused with its whole version: %s', (key, value) => {
  expect(() => new TableBuilder(EMPTY_TABLE, 'delta').set(key, value)).toThrow();
});

test('a delta that moves hundreds at once leads to the table of a snapshot, too', () => {
  const nodes = Array.from({ length: 400 }, (_, number) => `nod_${number}`);
  const first = new TableBuilder(EMPTY_TABLE, 'snapshot');
  for (const node of nodes) first.set(...memberRow('a', node, ['m1', 'm2']));
  const { table } = first.commit(1, 1);
  const delta = new TableBuilder(table, 'delta');
  const left = new Map<string, readonly [string, unknown]>();
  for (const [at, node] of nodes.entries()) {
    const moved = memberRow('a', node, [MODELS[at % 3] ?? 'm1']);
    if (at % 4 === 0) delta.delete(moved[0]);
    else if (at % 4 === 3) left.set(node, memberRow('a', node, ['m1', 'm2']));
    else {
      delta.set(...moved);
      left.set(node, moved);
    }
  }
  const snapshot = new TableBuilder(EMPTY_TABLE, 'snapshot');
  for (const row of left.values()) snapshot.set(...row);
  expect(shape(delta.commit(2, 1).table)).toEqual(shape(snapshot.commit(2, 1).table));
});

test('ten thousand nodes in fifty pools: a change of one node takes a moment, not the time of the whole', () => {
  const { publicKey } = generateSigningKey();
  const builder = new TableBuilder(EMPTY_TABLE, 'snapshot');
  for (let node = 0; node < 10_000; node += 1) {
    builder.set(...nodeRow(`nod_${node}`, publicKey));
    for (let turn = 0; turn < 5; turn += 1) builder.set(...memberRow(`pool${(node + turn * 7) % 50}`, `nod_${node}`));
  }
  let { table } = builder.commit(1, 1);
  const started = performance.now();
  for (let version = 2; version < 102; version += 1) {
    const delta = new TableBuilder(table, 'delta');
    for (let turn = 0; turn < 5; turn += 1)
      delta.set(...memberRow(`pool${(version + turn * 7) % 50}`, `nod_${version}`, ['x']));
    ({ table } = delta.commit(version, 1));
  }
  // Generous: it is tens of microseconds here; a rebuild of the whole would be tens of milliseconds.
  expect((performance.now() - started) / 100).toBeLessThan(10);
});

import { expect, test } from 'vitest';
import { forbiddenCode, forbiddenSql } from './forbidden-code.ts';
import { readSources, readTypeScript } from './source-tree.ts';

test('code that users run takes time, chance and HTTP only from what is passed in, and names the columns it reads', () => {
  // This file spells out the forbidden forms.
  const files = readTypeScript().filter((file) => file.path !== 'tools/forbidden-code.test.ts');
  expect(files.flatMap(forbiddenCode)).toEqual([]);
});

test('no SQL file selects every column', () => {
  expect(readSources((name) => name.endsWith('.sql')).flatMap(forbiddenSql)).toEqual([]);
});

test.each([
  'new Date()',
  'Date()',
  'globalThis.setTimeout(go, 1)',
  'globalThis["fetch"]("http://127.0.0.1")',
  'globalThis.Date.now()',
  'const { fetch: get } = globalThis',
  'query("SELECT * FROM nodes")',
  'query("select distinct n.* from nodes n")',
  'query(`insert into nodes values (1)\n returning *`)',
  'db.selectFrom("nodes").selectAll()',
])('%s is refused in a package', (text) => {
  expect(forbiddenCode({ path: 'packages/control/src/a.ts', text })).toHaveLength(1);
});

test.each([
  'new Date(clock.now())',
  'query("select count(*) from nodes")',
  'globalThis.structuredClone(a)',
  '2 * select',
])('%s is allowed in a package', (text) => {
  expect(forbiddenCode({ path: 'packages/control/src/a.ts', text })).toEqual([]);
});

test.each(['packages/kit/src/clock.ts', 'packages/control/src/a.test.ts', 'bench/load.ts'])(
  '%s may read the time itself',
  (path) => {
    expect(forbiddenCode({ path, text: 'new Date()' })).toEqual([]);
  },
);

test('a star in SQL counts in a statement and not in a comment', () => {
  const text = '-- never select * here\nselect id from nodes;\nselect * from nodes;';
  expect(forbiddenSql({ path: 'a.sql', text })).toEqual([expect.stringContaining('a.sql:3')]);
});

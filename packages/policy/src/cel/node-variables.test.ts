import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { NODE_VARIABLES, type NodeVariable } from './node-variables.ts';

it('the documentation has every variable with its type, least source and meaning, and no other', () => {
  const page = readFileSync(new URL('../../../../docs/where.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `node.'));
  const wanted = Object.entries<NodeVariable>(NODE_VARIABLES).map(
    ([path, variable]) =>
      `| \`${path}\` | \`${variable.type}\` | ${variable.fact === null ? 'enrolment' : variable.source} | ${variable.about} |`,
  );
  expect(rows).toEqual(wanted);
});

it('no variable continues another, so that every path has one meaning', () => {
  const paths = Object.keys(NODE_VARIABLES);
  for (const path of paths) expect(paths.filter((other) => other.startsWith(`${path}.`))).toEqual([]);
});

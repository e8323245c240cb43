/** Decisions are cited by their number: two of one number, or a gap, would point a reader to the wrong reason. */
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../docs/decisions/', import.meta.url));
const names = readdirSync(folder)
  .filter((name) => name !== 'README.md')
  .sort();

test('decisions are numbered in order, each number once', () => {
  expect(names.map((name) => name.slice(0, 5))).toEqual(
    names.map((_, index) => `${String(index + 1).padStart(4, '0')}-`),
  );
});

test.each(names)('%s says when it was decided', (name) => {
  expect(readFileSync(`${folder}${name}`, 'utf8').split('\n').slice(0, 4).join('\n')).toMatch(/\b20\d\d-\d\d-\d\d\b/);
});

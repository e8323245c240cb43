/** docs/security.md names the tests that show what it says: each must be there. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { expect, test } from 'vitest';

const page = readFileSync('docs/security.md', 'utf8');
const sections = page.split(/^## /m).slice(1);
/** Paths in back quotes that point at tests. */
const named = (text: string): string[] =>
  [...text.matchAll(/`((?:tests|packages|tools)\/[\w./-]+)`/g)].flatMap(([, path]) => path ?? []);

function isTest(path: string): boolean {
  if (!existsSync(path)) return false;
  if (!statSync(path).isDirectory()) return path.endsWith('.test.ts');
  return readdirSync(path).some((name) => name.endsWith('.test.ts'));
}

test('each of the ten risks has a section of its own, in order, that names a test', () => {
  expect(sections.map((text) => /^API\d+/.exec(text)?.[0])).toEqual(
    Array.from({ length: 10 }, (_, at) => `API${at + 1}`),
  );
  for (const text of sections) expect(named(text).length, text.split('\n')[0]).toBeGreaterThan(0);
});

test('every test that the page names is there', () => {
  expect(named(page).filter((path) => !isTest(path))).toEqual([]);
});

test('a quoted name of a test stands in one of the files that its line names', () => {
  const quoted = page
    .split('\n')
    .flatMap((line) =>
      [...line.matchAll(/“([^”]+)”/g)].map(([, title]) => ({ title: title ?? '', files: named(line) })),
    );
  expect(quoted.length).toBeGreaterThan(9);
  const missing = quoted.filter(
    ({ title, files }) => !files.some((path) => path.endsWith('.ts') && readFileSync(path, 'utf8').includes(title)),
  );
  expect(missing).toEqual([]);
});

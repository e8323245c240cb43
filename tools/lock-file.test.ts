import { expect, test } from 'vitest';
import { missingPackages } from './lock-file.ts';
import { readSources } from './source-tree.ts';

test('every lock file holds all that its packages ask for, for every platform', () => {
  const files = readSources((name) => /(^|\/)package-lock\.json$/.test(name));
  expect(files.map((file) => file.path)).toContain('package-lock.json');
  expect(files.flatMap((file) => missingPackages(JSON.parse(file.text)))).toEqual([]);
});

test('a platform that is left out is named', () => {
  const packages = {
    '': { dependencies: { tool: '1' } },
    'node_modules/tool': { version: '1', optionalDependencies: { 'tool-linux': '1', 'tool-darwin': '1' } },
    'node_modules/tool-linux': { version: '1' },
  };
  expect(missingPackages({ packages })).toEqual([
    'node_modules/tool asks for tool-darwin 1, which the lock file lacks',
  ]);
});

test('a package is found beside its owner and in every folder above', () => {
  const packages = {
    'packages/kit': { dependencies: { a: '1', b: '1' } },
    'packages/kit/node_modules/a': { dependencies: { b: '1' } },
    'node_modules/b': { version: '1' },
  };
  expect(missingPackages({ packages })).toEqual([]);
});

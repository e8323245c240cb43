import { expect, test } from 'vitest';
import { barrelFaults, firstFileFaults, nameFaults } from './layout.ts';
import { readTypeScript, repositoryPaths } from './source-tree.ts';

test('every service opens with main.ts, config.ts, run.ts and register.ts, and main.ts only starts it', () => {
  expect(firstFileFaults(readTypeScript())).toEqual([]);
});

test('no package has a barrel', () => {
  expect(barrelFaults(readTypeScript())).toEqual([]);
});

test('every file name is kebab-case', () => {
  expect(nameFaults(repositoryPaths())).toEqual([]);
});

const complete = ['control', 'gateway', 'agent'].flatMap((name) =>
  ['main.ts', 'config.ts', 'run.ts', 'register.ts'].map((first) => ({
    path: `packages/${name}/src/${first}`,
    text: 'go();',
  })),
);

test('each first file is missed, except the routes of the agent', () => {
  expect(firstFileFaults(complete)).toEqual([]);
  const missed = complete.filter(
    ({ path }) => firstFileFaults(complete.filter((file) => file.path !== path)).length === 1,
  );
  expect(missed).toHaveLength(11);
  expect(missed.map((file) => file.path)).not.toContain('packages/agent/src/register.ts');
});

test('a main.ts of 26 lines is too long', () => {
  const long = complete.map((file) => ({
    ...file,
    text: 'go();\n'.repeat(file.path.endsWith('control/src/main.ts') ? 26 : 25),
  }));
  expect(firstFileFaults(long)).toEqual([expect.stringContaining('packages/control/src/main.ts has 26 lines')]);
});

test.each([
  ['packages/kit/src/index.ts', 'export const a = 1;'],
  ['packages/kit/src/log/index.ts', 'export const a = 1;'],
  ['packages/kit/src/all.ts', "export * from './a.ts';\nexport { b } from './b.ts';"],
  ['packages/contract/src/all.ts', "export * from '@subcloud/policy/consent';"],
])('%s is a barrel', (path, text) => {
  expect(barrelFaults([{ path, text }])).toHaveLength(1);
});

test.each([
  ["export { b } from './b.ts';\nexport const a = 1;"],
  ["export { consent } from '@subcloud/policy/consent';"],
])('%s is no barrel', (text) => {
  expect(barrelFaults([{ path: 'packages/contract/src/a.ts', text }])).toEqual([]);
});

test.each(['packages/kit/src/aClock.ts', 'packages/kit/src/a_clock.ts', 'tools/Length.ts'])('%s is refused', (path) => {
  expect(nameFaults([path])).toHaveLength(1);
});

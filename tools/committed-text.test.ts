import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { downloadAddresses, placeMentions } from './committed-text.ts';
import { readSources, repositoryRoot } from './source-tree.ts';

const lockFileName = /(^|\/)(package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|\.npmrc)$/;

test('no lock file and no .npmrc says where packages are downloaded from', () => {
  const files = readSources((name) => lockFileName.test(name));
  expect(files.map((file) => file.path)).toEqual(expect.arrayContaining(['.npmrc', 'package-lock.json']));
  expect(downloadAddresses(files)).toEqual([]);
});

test('no file names a folder of one machine or a package registry', () => {
  expect(
    placeMentions(
      readSources(() => true),
      { registryHosts: usedRegistryHosts() },
    ),
  ).toEqual([]);
});

/** The registry that npm uses here, which no pattern can know; none if it is this machine, which many files may name. */
function usedRegistryHosts(): readonly string[] {
  const address =
    process.env['npm_config_registry'] ??
    execFileSync('npm', ['config', 'get', 'registry'], {
      cwd: repositoryRoot,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  const { hostname } = new URL(address.trim());
  return /^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname) ? [] : [hostname];
}

test.each([
  ['package-lock.json', '      "resolved": "https://example.net/a/-/a-1.0.0.tgz",'],
  ['demo/package-lock.json', '"resolved":"http://127.0.0.1:4873/a.tgz"'],
  ['package-lock.json', '"resolved": "git+ssh://git@example.net/a.git#abc"'],
  ['.npmrc', 'registry=https://example.net/'],
  ['.npmrc', '@scope:registry = https://example.net/'],
])('in %s, %s is found', (path, text) => {
  expect(downloadAddresses([{ path, text }])).toHaveLength(1);
});

test.each([
  ['package-lock.json', '"resolved": "packages/kit", "link": true'],
  ['.npmrc', 'omit-lockfile-registry-resolved=true'],
])('in %s, %s is allowed', (path, text) => {
  expect(downloadAddresses([{ path, text }])).toEqual([]);
});

const place = { registryHosts: ['packages.example.net'] };

// Put together here, so that this file may be checked like all others.
test.each([
  ['cd ', 'home', 'ann', 'subcloud'].join('/'),
  ['see "', 'work', 'notes.md"'].join('/'),
  ['open(', 'root', 'x)'].join('/'),
  ['from registry', 'example', 'org'].join('.'),
  'from packages.EXAMPLE.net',
])('%s is found', (text) => {
  expect(placeMentions([{ path: 'README.md', text }], place)).toHaveLength(1);
});

test.each(['GET /v1/work/items', 'https://example.net/home/page', 'below /root, or a temporary folder', 'var/home/a'])(
  '%s is allowed',
  (text) => {
    expect(placeMentions([{ path: 'README.md', text }], place)).toEqual([]);
  },
);

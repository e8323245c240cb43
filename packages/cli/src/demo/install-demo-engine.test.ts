import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ensureDemoEngine } from './install-demo-engine.ts';
import type { NpmLimits } from './npm-ci.ts';
import { adaptToPlatform, countInstalled } from './platform-packages.ts';

/** The real npm, and a registry on loopback that serves one small package in the place of the engine's binary. */
const binding = '@node-llama-cpp/linux-x64';
const version = '3.21.1';
const path = `/${binding}/-/linux-x64-${version}.tgz`;

let base: string;
let tarball: Buffer;
let registry: Server;
let registryUrl: string;
/** What the registry does, and how often it was asked. */
let mode: 'serves' | 'has nothing' | 'is silent';
let requests = 0;
let folder: string;
let folders = 0;

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'demo-install-test-'));
  await mkdir(join(base, 'package'));
  await writeFile(join(base, 'package', 'package.json'), JSON.stringify({ name: binding, version }));
  await promisify(execFile)('tar', ['-czf', 'package.tgz', 'package'], { cwd: base });
  tarball = await readFile(join(base, 'package.tgz'));
  registry = createServer((request, response) => {
    requests += 1;
    if (mode === 'is silent') return;
    if (mode === 'has nothing') return void response.writeHead(404).end('{}');
    if (request.url === path) return void response.end(tarball);
    const dist = { tarball: `${registryUrl}${path}`, integrity: integrityOf(tarball) };
    const document = { name: binding, versions: { [version]: { name: binding, version, dist } } };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ...document, 'dist-tags': { latest: version } }));
  });
  registry.listen(0, '127.0.0.1');
  await once(registry, 'listening');
  registryUrl = `http://127.0.0.1:${(registry.address() as AddressInfo).port}`;
});
afterAll(async () => {
  registry.close();
  registry.closeAllConnections();
  await rm(base, { recursive: true, force: true });
});
beforeEach(async () => {
  mode = 'serves';
  folder = join(base, `engine-${folders++}`);
  await mkdir(folder);
  await writeFile(join(folder, '.npmrc'), 'fund=false\n');
  await writePackageFiles(integrityOf(tarball));
});

async function writePackageFiles(integrity: string): Promise<void> {
  const dependencies = { [binding]: version };
  const manifest = { name: 'engine', version: '1.0.0', dependencies };
  const packages = { '': manifest, [`node_modules/${binding}`]: { version, integrity } };
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest));
  await writeFile(join(folder, 'package-lock.json'), JSON.stringify({ lockfileVersion: 3, requires: true, packages }));
}

function integrityOf(content: Buffer): string {
  return `sha512-${createHash('sha512').update(content).digest('base64')}`;
}

function ensure(more: { signal?: AbortSignal; limits?: NpmLimits; registry?: string; fractions?: number[] } = {}) {
  return ensureDemoEngine({
    folder,
    onProgress: (_message, fraction) => void more.fractions?.push(fraction ?? 0),
    signal: more.signal ?? new AbortController().signal,
    platform: 'linux-x64',
    // A cache of its own for each folder, or the second test would need no registry.
    npmArguments: ['--registry', more.registry ?? registryUrl, '--cache', `${folder}-cache`],
    ...(more.limits === undefined ? {} : { limits: more.limits }),
  });
}

const installed = () => access(join(folder, 'node_modules', binding, 'package.json'));
const filesBefore = ['.npmrc', 'package-lock.json', 'package.json'];

test('it installs once, and a second start asks nobody', async () => {
  const fractions: number[] = [];
  expect(await ensure({ fractions })).toEqual({ installed: true });
  await installed();
  expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
  expect(fractions.at(-1)).toBe(1);
  const before = requests;
  expect(await ensure()).toEqual({ installed: false });
  expect(requests).toBe(before);
  expect((await readdir(folder)).sort()).toEqual([...filesBefore.slice(0, 1), 'node_modules', ...filesBefore.slice(1)]);
});

test('a lock file that has changed is installed anew', async () => {
  await ensure();
  const lock = await readFile(join(folder, 'package-lock.json'), 'utf8');
  await writeFile(join(folder, 'package-lock.json'), `${lock}\n`);
  expect(await ensure()).toEqual({ installed: true });
  await installed();
});

test('what a killed install left is repaired', async () => {
  // A pid that no process has: Linux gives none above 2^22.
  await mkdir(join(folder, '.install-99999999-x', 'node_modules'), { recursive: true });
  await mkdir(join(folder, 'node_modules', 'half'), { recursive: true });
  expect(await ensure()).toEqual({ installed: true });
  await installed();
  await expect(access(join(folder, 'node_modules', 'half'))).rejects.toThrow('ENOENT');
  expect(await readdir(folder)).not.toContain('.install-99999999-x');
});

test('an install that is under way elsewhere is left alone', async () => {
  const other = `.install-${process.ppid}-x`;
  await mkdir(join(folder, other));
  await ensure();
  expect(await readdir(folder)).toContain(other);
});

test('of two starts at once both end with a whole install', async () => {
  const both = await Promise.all([ensure(), ensure()]);
  expect(both.some((result) => result.installed)).toBe(true);
  await installed();
  expect(await ensure()).toEqual({ installed: false });
});

test.each([
  ['upstream.registry_unreachable', 'refuses connections', { registry: 'http://127.0.0.1:1' }, 'serves'],
  ['upstream.registry_unreachable', 'is silent', { limits: { firstAnswerMs: 1_000, wholeMs: 20_000 } }, 'is silent'],
  ['upstream.package_not_served', 'has nothing', {}, 'has nothing'],
] as const)('%s when the registry %s, and the folder is as it was', async (code, _what, more, registryMode) => {
  mode = registryMode;
  await expect(ensure(more)).rejects.toMatchObject({ name: 'CliError', code });
  expect((await readdir(folder)).sort()).toEqual(filesBefore);
});

test('a package that is not the one of the lock file is not installed', async () => {
  await writePackageFiles(integrityOf(Buffer.from('another')));
  await expect(ensure()).rejects.toMatchObject({ code: 'upstream.package_not_served' });
  expect((await readdir(folder)).sort()).toEqual(filesBefore);
});

test('an install that is called off ends npm and leaves nothing', async () => {
  mode = 'is silent';
  const abort = new AbortController();
  const asked = once(registry, 'request');
  const installing = ensure({ signal: abort.signal }).catch((error: unknown) => error);
  await asked;
  abort.abort();
  expect(await installing).toMatchObject({ code: 'client.aborted' });
  expect((await readdir(folder)).sort()).toEqual(filesBefore);
});

test('a folder without the engine is an error that names it', async () => {
  await rm(join(folder, 'package-lock.json'));
  await expect(ensure()).rejects.toMatchObject({ code: 'config.demo_folder' });
});

const committedFolder = fileURLToPath(new URL('../../../../demo-engine/', import.meta.url));
const readCommitted = async () => ({
  manifest: await readFile(join(committedFolder, 'package.json'), 'utf8'),
  lock: await readFile(join(committedFolder, 'package-lock.json'), 'utf8'),
});

test.each([
  ['linux-arm64', '@node-llama-cpp/linux-arm64'],
  ['darwin-arm64', '@node-llama-cpp/mac-arm64-metal'],
  ['darwin-x64', '@node-llama-cpp/mac-x64'],
])('on %s the binary of that platform takes the place of the committed one', async (platform, own) => {
  const committed = await readCommitted();
  const adapted = adaptToPlatform(committed, platform);
  const manifest = JSON.parse(adapted.manifest) as { dependencies: Record<string, string> };
  const { packages } = JSON.parse(adapted.lock) as {
    packages: Record<string, { dependencies?: object; optional?: boolean; integrity?: string }>;
  };
  const { [binding]: _, ...others } = (JSON.parse(committed.manifest) as typeof manifest).dependencies;
  expect(manifest.dependencies).toEqual({ ...others, [own]: version });
  expect(packages['']?.dependencies).toEqual(manifest.dependencies);
  expect(packages[`node_modules/${own}`]).toMatchObject({ integrity: expect.stringMatching(/^sha512-/) as string });
  expect(packages[`node_modules/${own}`]).not.toHaveProperty('optional');
  expect(packages[`node_modules/${binding}`]?.optional).toBe(true);
  expect(countInstalled(adapted.lock)).toBe(countInstalled(committed.lock));
});

test('the platform that the files were written for gets them unchanged, and an unknown one is refused', async () => {
  const committed = await readCommitted();
  expect(adaptToPlatform(committed, 'linux-x64')).toEqual(committed);
  expect(() => adaptToPlatform(committed, 'aix-ppc64')).toThrow(/aix-ppc64/);
});

test('the committed lock file pins every package by its content and names no registry', async () => {
  const { lock } = await readCommitted();
  const { packages } = JSON.parse(lock) as { packages: Record<string, { integrity?: string }> };
  const unpinned = Object.keys(packages).filter((name) => name !== '' && packages[name]?.integrity === undefined);
  expect(unpinned).toEqual([]);
  expect(lock).not.toMatch(/"resolved"|https?:\/\/[^"]*\.tgz/);
});

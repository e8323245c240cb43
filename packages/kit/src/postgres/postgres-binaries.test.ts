import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findPostgresBinaries, postgresMajorVersion } from './postgres-binaries.ts';

let packageFolder: string;

beforeEach(async () => {
  packageFolder = await mkdtemp(join(tmpdir(), 'pg-binaries-test-'));
  for (const name of ['initdb', 'postgres', '../lib/libpq.so.5.18', '../lib/libicu.so.60.2', '../../dist/index.js']) {
    const path = join(packageFolder, 'native', 'bin', name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, '');
    await chmod(path, 0o755);
  }
});
afterEach(() => rm(packageFolder, { recursive: true, force: true }));

const find = () => findPostgresBinaries('linux-x64', () => join(packageFolder, 'dist', 'index.js'));
const listLinks = (links: readonly { source: string; target: string }[]) =>
  writeFile(join(packageFolder, 'native', 'pg-symlinks.json'), JSON.stringify(links));

test('the binaries that are installed here run, and are of the major version that data folders are checked against', async () => {
  const { postgres, initdb } = await findPostgresBinaries();
  for (const program of [postgres, initdb]) {
    const { stdout } = await promisify(execFile)(program, ['--version']);
    expect(stdout).toContain(`(PostgreSQL) ${postgresMajorVersion}.`);
  }
});

test('library links that npm did not make are made, and those that exist are kept', async () => {
  await listLinks([
    { source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' },
    { source: 'native/lib/libicu.so.60.2', target: 'native/lib/libicu.so.60' },
  ]);
  await symlink('kept', join(packageFolder, 'native', 'lib', 'libicu.so.60'));
  await find();
  await find();
  expect(await readlink(join(packageFolder, 'native', 'lib', 'libpq.so.5'))).toBe('libpq.so.5.18');
  expect(await readlink(join(packageFolder, 'native', 'lib', 'libicu.so.60'))).toBe('kept');
});

test('a list of links cannot name a place outside the folder of its library', async () => {
  await listLinks([{ source: 'native/lib/libpq.so.5.18', target: '../../outside' }]);
  await find();
  expect(await readlink(join(packageFolder, 'native', 'lib', 'outside'))).toBe('libpq.so.5.18');
});

test('a platform without binaries is told what to do', async () => {
  await expect(findPostgresBinaries('plan9-mips')).rejects.toMatchObject({
    fault: 'platform.postgres_binaries',
    message: expect.stringMatching(/plan9-mips.*npm ci.*your own PostgreSQL/s) as string,
  });
});

test('an install that lacks a program, or may not run it, is an error that names the program', async () => {
  await chmod(join(packageFolder, 'native', 'bin', 'postgres'), 0o644);
  await expect(find()).rejects.toThrow(/bin\/postgres is missing or may not be executed/);
});

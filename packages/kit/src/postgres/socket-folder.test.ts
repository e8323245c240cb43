import { chmod, chown, mkdir, mkdtemp, realpath, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { prepareSocketFolder } from './socket-folder.ts';

let base: string;
let temporaryDir: string;
beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'socket-test-')));
  temporaryDir = join(base, 't');
  await mkdir(temporaryDir);
});
afterEach(() => rm(base, { recursive: true, force: true }));

const longFolder = () => join(base, 'x'.repeat(100));

test('a data folder with a short path holds its own socket', async () => {
  expect(await prepareSocketFolder(base, undefined, temporaryDir)).toBe(join(base, 'socket'));
});

test('a data folder with a long path always gets the same private folder, and no other data folder gets it', async () => {
  const first = await prepareSocketFolder(longFolder(), undefined, temporaryDir);
  expect(await prepareSocketFolder(longFolder(), undefined, temporaryDir)).toBe(first);
  expect(await prepareSocketFolder(`${longFolder()}y`, undefined, temporaryDir)).not.toBe(first);
  expect(first.startsWith(temporaryDir)).toBe(true);
  expect((await stat(first)).mode & 0o777).toBe(0o700);
});

test('a folder of ours that others may enter is closed to them', async () => {
  const path = await prepareSocketFolder(longFolder(), undefined, temporaryDir);
  await chmod(path, 0o777);
  await prepareSocketFolder(longFolder(), undefined, temporaryDir);
  expect((await stat(path)).mode & 0o777).toBe(0o700);
});

test('a link that somebody laid in the way is refused', async () => {
  const path = await prepareSocketFolder(longFolder(), undefined, temporaryDir);
  await rm(path, { recursive: true });
  await symlink(base, path);
  await expect(prepareSocketFolder(longFolder(), undefined, temporaryDir)).rejects.toMatchObject({
    fault: 'config.postgres_folder',
    message: expect.stringContaining(basename(path)) as string,
  });
});

test.runIf(process.getuid?.() === 0)('a folder that somebody else made is refused', async () => {
  const path = await prepareSocketFolder(longFolder(), undefined, temporaryDir);
  await chown(path, 1, 1);
  await expect(prepareSocketFolder(longFolder(), undefined, temporaryDir)).rejects.toMatchObject({
    fault: 'config.postgres_folder',
  });
  expect(await prepareSocketFolder(longFolder(), { uid: 1, gid: 1 }, temporaryDir)).toBe(path);
});

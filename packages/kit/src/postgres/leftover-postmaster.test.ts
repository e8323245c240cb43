import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import { silentLog } from '../log.ts';
import { clearLeftovers } from './leftover-postmaster.ts';
import { isAlive, lookAtProcess, startMarkOf } from './process-sight.ts';

/** Where there is no /proc, a process is recognised by the words it was started with. `ps` exists here as well. */
describe('without /proc', () => {
  const executable = process.execPath;
  let clusterDir: string;
  const children: ChildProcess[] = [];
  const clear = () =>
    clearLeftovers({ executable, clusterDir, clock: systemClock, log: silentLog, platform: 'darwin' });

  beforeEach(async () => {
    clusterDir = await realpath(await mkdtemp(join(tmpdir(), 'leftover-test-')));
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await rm(clusterDir, { recursive: true, force: true });
  });

  /** A process whose command line is `PROGRAM -D FOLDER`, as a postmaster's is, and that ends on SIGINT. */
  async function startNamed(program: string, folder: string): Promise<ChildProcess> {
    const child = spawn('/bin/sleep', ['60'], { stdio: 'ignore', argv0: `${program} -D ${folder}` });
    children.push(child);
    await once(child, 'spawn');
    await writeFile(join(clusterDir, 'postmaster.pid'), `${child.pid}\n${folder}\n`);
    return child;
  }

  test('our program on our folder is stopped', async () => {
    const child = await startNamed(executable, clusterDir);
    const exit = once(child, 'exit');
    await clear();
    expect(await exit).toEqual([null, 'SIGINT']);
    await expect(access(join(clusterDir, 'postmaster.pid'))).rejects.toThrow('ENOENT');
  });

  test('a process of another kind that was given the pid is left alone, and the file is removed', async () => {
    const child = await startNamed('/usr/bin/editor', clusterDir);
    await clear();
    expect(isAlive(Number(child.pid))).toBe(true);
    await expect(access(join(clusterDir, 'postmaster.pid'))).rejects.toThrow('ENOENT');
  });

  test('another PostgreSQL is a refusal, and nothing is stopped or removed', async () => {
    const child = await startNamed('/opt/other/bin/postgres', clusterDir);
    await expect(clear()).rejects.toMatchObject({ fault: 'config.postgres_in_use' });
    expect(isAlive(Number(child.pid))).toBe(true);
    await access(join(clusterDir, 'postmaster.pid'));
  });

  test('a process that is gone counts as gone', async () => {
    const child = await startNamed(executable, clusterDir);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await lookAtProcess(Number(child.pid), 'darwin')).toEqual({ state: 'absent' });
    await clear();
  });
});

test.each(['linux', 'darwin'])(
  'on %s a process has a start mark that stays, and one that ended has none',
  async (platform) => {
    const child = spawn('/bin/sleep', ['60'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const mark = await startMarkOf(Number(child.pid), platform);
    expect(mark).toMatch(/\d/);
    expect(await startMarkOf(Number(child.pid), platform)).toBe(mark);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await startMarkOf(Number(child.pid), platform)).toBeUndefined();
  },
);

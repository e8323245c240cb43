import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startMarkOf } from '@subcloud/kit/postgres/process-sight';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { stateFile } from '../find-network.ts';
import { lockData, lockFile } from './data-lock.ts';

let data: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  data = mkdtempSync(path.join(tmpdir(), 'subcloud-lock-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  rmSync(data, { recursive: true });
});

/** Another process that takes the lock and stays; resolves with what it said first. */
async function lockElsewhere(): Promise<{ child: ChildProcess; said: string }> {
  const lock = JSON.stringify(fileURLToPath(new URL('./data-lock.ts', import.meta.url)));
  const script = `
    const { lockData } = await import(${lock});
    await lockData(${JSON.stringify(data)}).then(() => console.log('locked'), (error) => console.log(error.message));
    await new Promise((resolve) => process.once('disconnect', resolve));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  children.push(child);
  const [said] = (await once(child.stdout ?? child, 'data')) as [Buffer];
  return { child, said: said.toString().trim() };
}

test('a second start is refused with the pid and the address of the first, and takes nothing from it', async () => {
  const { child, said } = await lockElsewhere();
  expect(said).toBe('locked');
  writeFileSync(stateFile(data), JSON.stringify({ pid: child.pid, url: 'http://127.0.0.1:7700', tlsKeySha256: null }));
  const before = readFileSync(lockFile(data), 'utf8');
  const error = await lockData(data).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    code: 'config.data_in_use',
    message: expect.stringMatching(new RegExp(`process ${child.pid} .*http://127\\.0\\.0\\.1:7700`)),
  });
  expect(readFileSync(lockFile(data), 'utf8')).toBe(before);
});

test('the lock of a process that was killed is taken over', async () => {
  const { child } = await lockElsewhere();
  child.kill('SIGKILL');
  await once(child, 'exit');
  const lock = await lockData(data);
  expect(JSON.parse(readFileSync(lockFile(data), 'utf8'))).toMatchObject({ pid: process.pid });
  await lock.release();
  expect(existsSync(lockFile(data))).toBe(false);
});

test('the lock of a pid that belongs to another process by now is taken over', async () => {
  const { child } = await lockElsewhere();
  const mark = await startMarkOf(child.pid ?? 0);
  const [boot, ticks] = (mark ?? '').split('/');
  for (const startMark of [`${boot}/${Number(ticks) - 1}`, `another-boot/${ticks}`]) {
    writeFileSync(lockFile(data), JSON.stringify({ pid: child.pid, startMark }));
    await (await lockData(data)).release();
  }
  writeFileSync(lockFile(data), JSON.stringify({ pid: child.pid, startMark: mark }));
  await expect(lockData(data)).rejects.toMatchObject({ code: 'config.data_in_use' });
});

test.each(['', '{"pid":', '{"pid":-1,"startMark":"x"}', '[]'])('a lock that says %j names nobody', async (text) => {
  mkdirSync(path.dirname(lockFile(data)), { recursive: true });
  writeFileSync(lockFile(data), text);
  await (await lockData(data)).release();
});

test('of many starts at one moment exactly one gets the folder', async () => {
  const said = await Promise.all(Array.from({ length: 4 }, async () => (await lockElsewhere()).said));
  expect(said.filter((text) => text === 'locked')).toHaveLength(1);
  expect(said.filter((text) => text.includes('is in use'))).toHaveLength(3);
});

test('releasing does not take away the lock of another', async () => {
  const lock = await lockData(data);
  writeFileSync(lockFile(data), '{"pid":1,"startMark":"other"}\n');
  await lock.release();
  expect(existsSync(lockFile(data))).toBe(true);
});

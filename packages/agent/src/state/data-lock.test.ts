import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@subcloud/kit/config';
import { startMarkOf } from '@subcloud/kit/postgres/process-sight';
import { startTestAgent } from '@subcloud/testkit/peer-agent';
import { startPeerGateway } from '@subcloud/testkit/peer-gateway';
import { expect, onTestFinished, test } from 'vitest';
import { lockDataDir } from './data-lock.ts';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'agent-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The lock of another process, which runs until the test ends. */
async function lockOfAnother(dataDir: string, changes: { readonly startMark?: string } = {}): Promise<number> {
  const other = spawn('/bin/sleep', ['60'], { stdio: 'ignore' });
  onTestFinished(() => void other.kill('SIGKILL'));
  const pid = other.pid ?? 0;
  const startMark = changes.startMark ?? (await startMarkOf(pid));
  writeFileSync(join(dataDir, 'agent.lock'), JSON.stringify({ pid, startMark }));
  return pid;
}

test('a second agent on a folder is refused with a sentence, and the first goes on', async () => {
  const dataDir = folder();
  await using gateway = await startPeerGateway();
  await using agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, dataDir });
  const second = startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, dataDir });
  await expect(second).rejects.toThrow(ConfigError);
  await expect(second).rejects.toThrow(`${dataDir} is in use by the agent of process ${process.pid}`);
  expect(agent.linked()).toBe(true);
});

test('a folder that another process uses is refused with its pid', async () => {
  const dataDir = folder();
  const pid = await lockOfAnother(dataDir);
  await expect(lockDataDir(dataDir)).rejects.toThrow(`in use by the agent of process ${pid}`);
});

test.for([
  [
    'another process that has the same pid by now',
    (dataDir: string) => lockOfAnother(dataDir, { startMark: 'before' }),
  ],
  ['a process that is gone', (dataDir: string) => write(dataDir, '{"pid":4194303,"startMark":"x"}')],
  [
    'an earlier process with our own pid',
    (dataDir: string) => write(dataDir, `{"pid":${process.pid},"startMark":"x"}`),
  ],
  ['nobody, for it cannot be read', (dataDir: string) => write(dataDir, '{"pid":')],
] as const)('a lock that names %s does not count', async ([, prepare]) => {
  const dataDir = folder();
  await prepare(dataDir);
  const lock = await lockDataDir(dataDir);
  expect(readFileSync(join(dataDir, 'agent.lock'), 'utf8')).toContain(`"pid":${process.pid}`);
  await lock.release();
  expect(readdirSync(dataDir)).toEqual([]);
});

function write(dataDir: string, text: string): void {
  writeFileSync(join(dataDir, 'agent.lock'), text);
}

test('of many starts at one moment one has the folder', async () => {
  const dataDir = folder();
  const locks = await Promise.allSettled(Array.from({ length: 8 }, () => lockDataDir(dataDir)));
  expect(locks.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('a start that fails leaves the folder free', async () => {
  const dataDir = folder();
  await using gateway = await startPeerGateway();
  await expect(startTestAgent({ url: gateway.url, dataDir })).rejects.toThrow(/--join-token/);
  await using agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, dataDir });
  expect(agent.linked()).toBe(true);
});

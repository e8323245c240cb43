/**
 * The disk of the whole network is full, or cannot be written: on a file system of the test's own (tmpfs), with the real
 * processes. What is refused, what goes on, and that all is well again once there is room.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createClient } from '@subcloud/sdk/client';
import { eventually } from '@subcloud/testkit/eventually';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { startServiceAgent, startUp } from '../crash/processes.ts';

const missing = mountMissing();

function mountMissing(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'a file system of its own needs root on Linux';
  const probe = mkdtempSync(join(tmpdir(), 'subcloud-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', probe], { stdio: 'ignore' });
    execFileSync('umount', [probe]);
    return undefined;
  } catch {
    return 'file systems cannot be mounted here';
  } finally {
    rmSync(probe, { recursive: true });
  }
}

/** A small file system; unmounted and forgotten at the end. */
function smallDisk(
  mebibytes: number,
): Disposable & { readonly path: string; fill(): void; free(): void; writable(on: boolean): void } {
  const path = mkdtempSync(join(tmpdir(), 'subcloud-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=755`, 'tmpfs', path]);
  const filler = join(path, 'filler');
  return {
    path,
    fill() {
      const file = openSync(filler, 'w');
      try {
        for (const bytes of [1_048_576, 4_096, 1]) writeUntilFull(file, Buffer.alloc(bytes));
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(filler),
    writable: (on) => void execFileSync('mount', ['-o', `remount,${on ? 'rw' : 'ro'}`, path]),
    [Symbol.dispose]() {
      execFileSync('umount', ['-l', path]);
      rmSync(path, { recursive: true });
    },
  };
}

function writeUntilFull(file: number, piece: Buffer): void {
  for (;;) {
    try {
      writeSync(file, piece);
    } catch {
      return;
    }
  }
}

describe.skipIf(missing !== undefined)(`a disk${missing === undefined ? '' : ` (not run: ${missing})`}`, () => {
  test('that is full: nothing is answered that could not be counted, nothing is acknowledged that is not stored, and room heals it', async () => {
    using disk = smallDisk(400);
    await using up = await startUp(join(disk.path, 'network'));
    await using engine = await startScriptedEngine({ models: ['test-model'] });
    const { url, apiKey, adminToken } = up.ready;
    const admin = createClient({ url, credential: adminToken });
    const { joinToken } = await admin.call('createJoinToken', { body: { operator: 'user:admin' } });
    const agentDir = mkdtempSync(join(tmpdir(), 'subcloud-agent-'));
    await using _agent = await startServiceAgent({
      SUBCLOUD_URL: url,
      SUBCLOUD_JOIN_TOKEN: joinToken,
      SUBCLOUD_DATA_DIR: agentDir,
      SUBCLOUD_ENGINES: engine.url,
      SUBCLOUD_LOG_LEVEL: 'silent',
    });
    const ask = (): Promise<string> => chat(url, apiKey);
    await eventually('it is served', async () => (await ask()) === 'served', 60_000);

    disk.fill();
    // The page of the journal that is begun may still take some records.
    await eventually('answers stop', async () => (await ask()) === 'platform.usage_not_writable', 60_000);
    const servedBefore = engine.requests.length;
    for (let call = 0; call < 20; call++) expect(await ask()).toBe('platform.usage_not_writable');
    // Nodes do not work for what would not be counted, but for one try a second.
    expect(engine.requests.length - servedBefore).toBeLessThan(15);
    const made: `user:${string}`[] = [];
    for (let number = 0; number < 40; number++) {
      const id = `user:full-${number}` as const;
      await admin.call('createPrincipal', { body: { id } }).then(
        () => made.push(id),
        () => undefined,
      );
    }
    expect(up.child.exitCode).toBeNull();

    disk.free();
    await eventually('it is served again', async () => (await ask()) === 'served', 90_000);
    const stored = await eventually(
      'control answers again',
      async () => {
        const { items } = await admin.call('listPrincipals', { query: { limit: 200 } });
        return new Set(items.map(({ id }) => id));
      },
      60_000,
    );
    expect(made.filter((id) => !stored.has(id))).toEqual([]);
    await eventually(
      'changes are made again',
      () => admin.call('createPrincipal', { body: { id: 'user:after' } }),
      60_000,
    );
    await admin.close();
    rmSync(agentDir, { recursive: true, force: true });
  }, 300_000);

  test('that cannot be written: a start is refused in one sentence', async () => {
    using disk = smallDisk(8);
    disk.writable(false);
    await expect(startUp(join(disk.path, 'network'))).rejects.toThrow(/data folder .* cannot be used: .*read-only/);
  }, 60_000);
});

async function chat(url: string, apiKey: string): Promise<string> {
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'test-model', messages: [{ role: 'user', content: 'x'.repeat(2_000) }] }),
    });
    const text = await response.text();
    return response.status === 200 ? 'served' : (JSON.parse(text) as { error: { code: string } }).error.code;
  } catch {
    return 'broken';
  }
}

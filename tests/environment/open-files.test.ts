/** A gateway that may open few files: callers who hold connections open cannot take those that it needs itself. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startPeerControl } from '@subcloud/testkit/peer-control';
import { eventually } from '@subcloud/testkit/eventually';

const GATEWAY = fileURLToPath(new URL('../../packages/gateway/src/main.ts', import.meta.url));
const OPEN_FILES = 160;
const RESERVED_FILES = 64;

test('the gateway stays alive and with control while more connections are opened than it may have files', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'gateway-files-'));
  try {
    await using control = await startPeerControl(join(dataDir, 'run'));
    control.publish([]);
    const child = spawn('bash', ['-c', `ulimit -n ${OPEN_FILES} && exec "$0" "$1"`, process.execPath, GATEWAY], {
      env: { ...process.env, SUBCLOUD_DATA_DIR: dataDir, SUBCLOUD_PORT: '0', SUBCLOUD_LOG_LEVEL: 'silent' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    try {
      const line = await new Promise<string>((resolve, reject) => {
        child.stdout.once('data', (data: Buffer) => resolve(data.toString()));
        child.once('exit', () => reject(new Error('the gateway did not start')));
      });
      const { port } = (JSON.parse(line) as { ready: { port: number } }).ready;
      const held: Socket[] = [];
      let closed = 0;
      for (let count = 0; count < OPEN_FILES * 2; count++) {
        const socket = connect({ port, host: '127.0.0.1' });
        socket.on('error', () => {});
        socket.once('close', () => closed++);
        held.push(socket);
      }
      // What is too much is closed at once, before the system's own limit is reached; the rest stays open for its 15 s.
      const kept = OPEN_FILES - RESERVED_FILES;
      await eventually('connections beyond the limit are closed', () => closed >= held.length - kept, 8_000);
      const version = control.publish([]);
      await eventually(
        'control is heard',
        () => control.acknowledged.some((one) => one.tableVersion >= version),
        30_000,
      );
      // A connection to control that is cut can be had again: there are files left for it.
      const opened = control.opened();
      control.cut();
      await eventually('the watch is opened again', () => control.opened() > opened, 30_000);
      for (const socket of held) socket.destroy();
      await eventually('callers are answered again', async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok);
      expect(child.exitCode).toBeNull();
    } finally {
      child.kill('SIGTERM');
      await ended;
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}, 120_000);

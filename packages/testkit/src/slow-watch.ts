/**
 * Control's sockets seen from further away: what goes between control and gateway comes later, in order. In one process
 * it would otherwise arrive before control's own answer does, and hide that nobody waited for it.
 */
import { mkdirSync, symlinkSync } from 'node:fs';
import { type Socket, connect, createServer } from 'node:net';
import { join } from 'node:path';

/** Makes the folder. `controlDir`: where control's sockets are. */
export async function startSlowWatch(options: {
  readonly folder: string;
  readonly controlDir: string;
  readonly delayMs: number;
}): Promise<AsyncDisposable> {
  const { folder, controlDir, delayMs } = options;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // The API is not what is slow.
  symlinkSync(join(controlDir, 'api.sock'), join(folder, 'api.sock'));
  const open = new Set<Socket>();
  const late = (from: Socket, onto: Socket): void => {
    // Timers of one length fire in the order in which they were set.
    const after = (act: () => void): void => void setTimeout(act, delayMs);
    from.on('data', (chunk: Buffer) => after(() => void (onto.destroyed || onto.write(chunk))));
    from.on('end', () => after(() => void onto.end()));
    from.on('error', () => undefined);
    from.on('close', () => after(() => void onto.destroy()));
  };
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ path: join(controlDir, 'gateways.sock'), allowHalfOpen: true });
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
    }
    late(near, far);
    late(far, near);
  });
  await new Promise<void>((resolve) => server.listen(join(folder, 'gateways.sock'), resolve));
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

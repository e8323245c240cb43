/** A proxy that keeps what passes, both ways, in order: one tape a channel. */
import { type Server, type Socket, connect, createServer } from 'node:net';

export interface TapeEntry {
  /** Counts from 1, by order of opening. */
  readonly connection: number;
  readonly from: 'client' | 'server';
  readonly base64: string;
}

export interface Tape {
  readonly entries: readonly TapeEntry[];
  close(): Promise<void>;
}

/** `listen`: a path of a Unix socket, or 0 for any port of 127.0.0.1. `target`: a path, or a port there, asked at each connection. Resolves when it listens; `port` is 0 for a path. */
export async function startTape(
  listen: string | 0,
  target: string | (() => number),
): Promise<Tape & { readonly port: number }> {
  const entries: TapeEntry[] = [];
  const open = new Set<Socket>();
  let connections = 0;
  const server: Server = createServer((client) => {
    const connection = (connections += 1);
    // By the address that the client has: nodes are placed by it.
    const { remoteAddress: localAddress = '127.0.0.1' } = client;
    const onward =
      typeof target === 'string' ? connect(target) : connect({ host: '127.0.0.1', port: target(), localAddress });
    for (const [from, socket, other] of [
      ['client', client, onward],
      ['server', onward, client],
    ] as const) {
      open.add(socket);
      socket.on('data', (bytes: Buffer) => {
        entries.push({ connection, from, base64: bytes.toString('base64') });
        other.write(bytes);
      });
      socket.on('end', () => other.end());
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        open.delete(socket);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    if (typeof listen === 'string') server.listen(listen, resolve);
    else server.listen(listen, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    entries,
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

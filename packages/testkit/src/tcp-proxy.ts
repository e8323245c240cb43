/**
 * A TCP proxy in the hands of a test: what stands between two machines. It can name a client as balancers do, delay what
 * it passes, hold one direction still, and cut.
 */
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Connections open now. */
  readonly connections: number;
  /** Passed so far, both ways. */
  readonly passedBytes: number;
  /** Closes all connections at once, as a reset does. */
  cut(): void;
  /** Passes nothing and closes nothing, as a cut cable; `false` passes again what was held. */
  freeze(frozen: boolean): void;
}

export interface TcpProxyOptions {
  readonly to: { readonly host: string; readonly port: number };
  /** Address that it listens on; default 127.0.0.1. */
  readonly host?: string;
  readonly port?: number;
  /** Source address of its own connections. */
  readonly localAddress?: string;
  /** Bytes that it says first on each connection, such as a PROXY header. */
  readonly preface?: (client: Socket) => Buffer;
  /** Added to each direction. */
  readonly delayMs?: number;
}

export async function startTcpProxy(options: TcpProxyOptions): Promise<TcpProxy> {
  const { to, delayMs = 0 } = options;
  const open = new Set<Socket>();
  const held: (() => void)[] = [];
  let frozen = false;
  let passedBytes = 0;
  const pass = (from: Socket, onto: Socket): void => {
    // One queue a direction keeps the order, whatever timers do.
    let queue = Promise.resolve();
    const enqueue = (act: () => void): void => {
      const dueMs = performance.now() + delayMs;
      queue = queue.then(async () => {
        const leftMs = dueMs - performance.now();
        if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
        if (frozen) await new Promise<void>((resolve) => held.push(resolve));
        act();
      });
    };
    from.on('data', (chunk: Buffer) => {
      enqueue(() => {
        passedBytes += chunk.byteLength;
        if (onto.destroyed || onto.write(chunk)) return;
        from.pause();
        onto.once('drain', () => from.resume());
      });
    });
    from.on('end', () => enqueue(() => void onto.end()));
    from.on('close', () => enqueue(() => void onto.destroy()));
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const { localAddress } = options;
    const onward = connect({
      ...to,
      allowHalfOpen: true,
      noDelay: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    for (const socket of [client, onward]) {
      open.add(socket);
      socket.on('error', () => socket.destroy());
      socket.once('close', () => open.delete(socket));
    }
    const preface = options.preface?.(client);
    if (preface !== undefined) onward.write(preface);
    pass(client, onward);
    pass(onward, client);
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve));
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  const freeze = (on: boolean): void => {
    frozen = on;
    if (!on) for (const release of held.splice(0)) release();
  };
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return open.size / 2;
    },
    get passedBytes() {
      return passedBytes;
    },
    cut,
    freeze,
    async [Symbol.asyncDispose]() {
      freeze(false);
      cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/**
 * Ports that stay ours while nobody listens on them. A port that is closed is handed to whoever asks next for a free one, and a
 * machine that tests asks often; one that a connection goes out from is not, and who dials it is refused.
 */
import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

const HOST = '127.0.0.1';

export interface KeptPorts extends AsyncDisposable {
  /** One more, to listen on as often as one likes. */
  keep(): Promise<number>;
  /** In the order in which they were kept. */
  readonly kept: readonly number[];
}

export function createKeptPorts(): KeptPorts {
  const kept: number[] = [];
  const ends: Socket[] = [];
  const other = createServer((end) => ends.push(end.on('error', () => end.destroy())));
  return {
    kept,
    async keep() {
      if (!other.listening) await listen(other, 0);
      const { port } = other.address() as AddressInfo;
      // With an address of its own it is bound before it connects, in the way that lets a server share the port.
      const end = connect({ host: HOST, port, localAddress: HOST });
      ends.push(end.on('error', () => end.destroy()));
      await once(end, 'connect');
      if (end.localPort === undefined) throw new Error('the connection has no port');
      kept.push(end.localPort);
      return end.localPort;
    },
    async [Symbol.asyncDispose]() {
      for (const end of ends) end.destroy();
      if (other.listening) await new Promise((resolve) => other.close(resolve));
    },
  };
}

/** On 127.0.0.1; rejects where the port is taken. */
export async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, HOST);
  await once(server, 'listening');
}

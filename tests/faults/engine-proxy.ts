/**
 * What stands between an agent and its engine, or between an agent and the gateway: TCP, cut, held and spoiled at the byte. One
 * trap is set for all proxies of a group; the first exchange that comes to its place meets it, wherever that is.
 */
import { type Server, type Socket, connect, createServer } from 'node:net';
import { createKeptPorts, listen } from './kept-ports.ts';

export interface Exchange {
  /** Which proxy of the group. */
  readonly index: number;
  readonly agent: Socket;
  readonly engine: Socket;
  /** What the engine has said of the answer at hand. */
  said: string;
  /** From now on each piece of the answer goes through this; nothing is passed where it is undefined. */
  through: ((piece: Buffer) => readonly Buffer[]) | undefined;
}

export interface Trap {
  /** `asked`: the request has come and is not passed on yet. `head`: the answer begins, nothing of it is passed yet. Else bytes of it. */
  readonly at: 'asked' | 'head' | number;
  /** At `asked` the request is passed on when what it returns has resolved. */
  readonly act: (exchange: Exchange) => void | Promise<void>;
}

export interface ProxyGroup extends AsyncDisposable {
  /** `port` of the process behind it is asked for at each connection. */
  add(port: () => number): Promise<{ readonly port: number }>;
  /** For the next request; replaces the one before. */
  set(trap: Trap | undefined): void;
  /** The request that met the trap, if one has. */
  readonly met: Exchange | undefined;
  /** Closes what is open through one proxy and takes nothing new, until `false`: whoever dials it is refused. */
  refuse(index: number, refusing: boolean): Promise<void>;
  /** Connections through one proxy that are open now. */
  open(index: number): readonly Exchange[];
}

export function createProxyGroup(): ProxyGroup {
  let trap: Trap | undefined;
  let met: Exchange | undefined;
  const open = new Set<Exchange>();
  const servers: Server[] = [];
  const ports = createKeptPorts();

  const onConnection = (index: number, agent: Socket, port: number): void => {
    const engine = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
    const exchange: Exchange = { index, agent, engine, said: '', through: (piece) => [piece] };
    open.add(exchange);
    for (const socket of [agent, engine]) {
      socket.on('error', () => socket.destroy());
      socket.once('close', () => open.delete(exchange));
    }
    let mine: Trap | undefined;
    const spring = (): void | Promise<void> => {
      const act = mine?.act;
      mine = undefined;
      met = exchange;
      return act?.(exchange);
    };
    const ask = (piece: Buffer): void => void (engine.destroyed || engine.write(piece));
    agent.on('data', (piece: Buffer) => {
      if (trap === undefined || piece.subarray(0, 9).toString('latin1') !== 'POST /v1/') return ask(piece);
      mine = trap;
      trap = undefined;
      exchange.said = '';
      if (mine.at !== 'asked') return ask(piece);
      agent.pause();
      void Promise.resolve(spring()).then(() => {
        ask(piece);
        agent.resume();
      });
    });
    engine.on('data', (piece: Buffer) => {
      const place = mine?.at;
      const before = typeof place === 'number' ? place - exchange.said.length : 0;
      exchange.said += piece.toString('latin1');
      if (place === undefined || before > piece.byteLength) return pass(exchange, piece);
      pass(exchange, piece.subarray(0, before));
      void spring();
      pass(exchange, piece.subarray(before));
    });
    agent.on('end', () => engine.end()).on('close', () => engine.destroy());
    engine.on('end', () => agent.end()).on('close', () => agent.destroy());
  };

  return {
    async add(port) {
      const index = servers.length;
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (agent) =>
        onConnection(index, agent, port()),
      );
      servers.push(server);
      const kept = await ports.keep();
      await listen(server, kept);
      return { port: kept };
    },
    async refuse(index, refusing) {
      const server = servers[index];
      if (server === undefined || server.listening !== refusing) return;
      if (!refusing) return await listen(server, ports.kept[index] ?? 0);
      const closed = new Promise((resolve) => server.close(resolve));
      for (const { agent, engine } of [...open].filter((one) => one.index === index))
        for (const socket of [agent, engine]) socket.destroy();
      await closed;
    },
    set(next) {
      trap = next;
      met = undefined;
    },
    get met() {
      return met;
    },
    open: (index) => [...open].filter((exchange) => exchange.index === index),
    async [Symbol.asyncDispose]() {
      for (const { agent, engine } of open) for (const socket of [agent, engine]) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
      await ports[Symbol.asyncDispose]();
    },
  };
}

function pass({ agent, through }: Exchange, piece: Buffer): void {
  if (through === undefined || piece.byteLength === 0) return;
  for (const part of through(piece)) if (!agent.destroyed && !agent.writableEnded) agent.write(part);
}

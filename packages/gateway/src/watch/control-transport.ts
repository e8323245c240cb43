/**
 * How this gateway reaches control: two Unix sockets in a folder that both see, or two protocols of one TLS port. Either
 * way `watch` is for what gateways use and `api` for what callers may, and nothing crosses from one to the other.
 */
import { Agent, type ClientRequest, type RequestOptions, request } from 'node:http';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';

export type ControlChannel = 'watch' | 'api';

export interface ControlTransport {
  /** A request on a connection that is kept for the next one. */
  request(channel: ControlChannel, options: RequestOptions): ClientRequest;
  /** A request on a connection of its own, which ends with it. */
  single(channel: ControlChannel, options: RequestOptions): ClientRequest;
  close(): void;
}

/** Connections of callers' requests to the control API; those of the gateway's own reports are few. */
const MAX_SOCKETS = { watch: 16, api: 256 } as const;

export function socketTransport(folder: string): ControlTransport {
  const paths = { watch: join(folder, 'gateways.sock'), api: join(folder, 'api.sock') };
  const agents = { watch: new Agent(agentOptions('watch')), api: new Agent(agentOptions('api')) };
  return {
    request: (channel, options) => request({ ...options, agent: agents[channel], socketPath: paths[channel] }),
    single: (channel, options) => request({ ...options, agent: false, socketPath: paths[channel] }),
    close: () => Object.values(agents).forEach((agent) => agent.destroy()),
  };
}

type Dial = (channel: ControlChannel) => Promise<Duplex>;

/** `dial` gives a connection whose other end has proved to be control. */
export function dialledTransport(dial: Dial): ControlTransport {
  const agents = { watch: new DialAgent('watch', dial), api: new DialAgent('api', dial) };
  return {
    request: (channel, options) => request({ ...options, agent: agents[channel] }),
    single: (channel, options) =>
      request({
        ...options,
        // Without an agent named, Node takes this and asks none; `agent: false` would dial by itself.
        createConnection: (_options, done) => {
          void connectWith(dial, channel, done);
          return undefined;
        },
      }),
    close: () => Object.values(agents).forEach((agent) => agent.destroy()),
  };
}

type Connected = (error: Error | null, socket: Duplex) => void;

class DialAgent extends Agent {
  readonly #channel: ControlChannel;
  readonly #dial: Dial;

  constructor(channel: ControlChannel, dial: Dial) {
    super(agentOptions(channel));
    this.#channel = channel;
    this.#dial = dial;
  }

  override createConnection(_options: RequestOptions, done?: Connected): undefined {
    void connectWith(this.#dial, this.#channel, done ?? (() => undefined));
    return undefined;
  }
}

async function connectWith(dial: Dial, channel: ControlChannel, done: Connected): Promise<void> {
  let socket: Duplex;
  try {
    socket = await dial(channel);
  } catch (error) {
    // Node reads the error first; there is no socket to go with it.
    (done as (error: Error) => void)(error instanceof Error ? error : new Error(String(error)));
    return;
  }
  done(null, socket);
}

function agentOptions(channel: ControlChannel) {
  return { keepAlive: true, maxSockets: MAX_SOCKETS[channel], maxFreeSockets: 16 };
}

/**
 * The ports of a worker: one that it shares with others (SO_REUSEPORT: the kernel spreads new connections over all that
 * listen), and one of its own, where nodes link and by which it can be asked alone. A worker that comes back while others
 * serve joins them when it could serve as well as they do: until then a caller would get from it what they would not say.
 */
import type { Clock, Timer } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { GatewayConfig } from '../config.ts';
import type { PublicServer } from '../listen.ts';
import type { LinkHub } from '../link/link-hub.ts';
import type { RoutingTable } from '../table/routing-table.ts';

/** Nodes may link to other gateways only, or not come back: no longer than this is waited for them. */
const LINKS_WAIT_MS = 10_000;
const LOOK_MS = 100;

export interface Ports {
  /** That callers use. */
  readonly port: number;
  readonly ownPort: number | undefined;
}

/** Opens what is open from the start. Rejects with a readable message. */
export async function openPorts(open: PublicServer, config: GatewayConfig): Promise<Ports> {
  const { ownPort, joins } = config;
  if (ownPort === undefined) return { port: await open.listen(), ownPort: undefined };
  const own = await open.listenAlso(ownPort);
  return { port: joins === 'at once' ? await open.listen() : config.port, ownPort: own };
}

/** By which nodes reach it. */
export function urlOf(config: GatewayConfig, { port, ownPort }: Ports, secure: boolean): string {
  const scheme = secure ? 'https' : 'http';
  if (ownPort === undefined) return config.publicUrl ?? `${scheme}://${urlHost(config.host)}:${port}`;
  if (config.ownUrl !== undefined) return config.ownUrl;
  const host = config.publicUrl === undefined ? urlHost(config.host) : new URL(config.publicUrl).hostname;
  return `${scheme}://${host}:${ownPort}`;
}

export function joinsWhenLinked({ ownPort, joins }: GatewayConfig): boolean {
  return ownPort !== undefined && joins === 'when linked';
}

export interface JoinOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly table: () => RoutingTable;
  readonly links: Pick<LinkHub, 'get'>;
  readonly ready: () => boolean;
  readonly open: Pick<PublicServer, 'listen'>;
}

export interface Joining {
  /** Rejects when the port cannot be had: some other program took it. */
  readonly failed: Promise<never>;
  stop(): void;
}

/** Listens on the shared port once this worker is ready and has the nodes that requests are routed to. */
export function joinWhenLinked({ clock, log, table, links, ready, open }: JoinOptions): Joining {
  let readySinceMs: number | undefined;
  let timer: Timer | undefined;
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => undefined);
  const look = (): void => {
    if (!ready()) {
      readySinceMs = undefined;
      return;
    }
    const nowMs = clock.monotonicMs();
    readySinceMs ??= nowMs;
    const waitedMs = nowMs - readySinceMs;
    if (waitedMs < LINKS_WAIT_MS && !hasAllMembers(table(), links)) return;
    timer?.cancel();
    open.listen().then((port) => log.info({ port, waitedMs: Math.round(waitedMs) }, 'joined the shared port'), reject);
  };
  timer = clock.every(LOOK_MS, look);
  return { failed, stop: () => timer?.cancel() };
}

/** A node is a member only while it is linked somewhere. */
function hasAllMembers(table: RoutingTable, links: Pick<LinkHub, 'get'>): boolean {
  for (const { members } of table.poolIndexes.values()) {
    for (const { node } of members.values()) if (links.get(node) === undefined) return false;
  }
  return true;
}

function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

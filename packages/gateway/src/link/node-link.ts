/** One node's link as the scheduler and the relay see it. Load and liveness live here, not in the table. */
import type { ClientHttp2Session } from 'node:http2';
import { HEARTBEATS_MISSED, HEARTBEAT_MS } from '@subcloud/contract/link';
import type { SignedDocument } from '@subcloud/contract/documents';
import type { LinkGuard } from './link-guard.ts';
import type { NodeStats } from '../schedule/node-stats.ts';

export interface NodeLink {
  readonly node: string;
  /** Remote address of the link's socket, without IPv4 mapping. */
  readonly address: string;
  readonly session: ClientHttp2Session;
  /** What this gateway has seen of the node, also over earlier links. */
  readonly stats: NodeStats;
  /** Requests of this gateway under way there. */
  inFlight: number;
  /** Of them, by pool. */
  readonly inFlightByPool: Map<string, number>;
  /** Told of all that comes over the link and is of use. */
  readonly guard: LinkGuard;
  draining: boolean;
  closed: boolean;
  /** Monotonic time of the last sign of life on the report stream. */
  lastHeardMs: number;
  /** Of the node document that the agent holds. */
  epoch: number;
  serial: number;
  declaration: SignedDocument | undefined;
  /** The last word of the agent on pools that it is leaving; control may ask for it again. */
  drained: { readonly epoch: number; readonly serial: number; readonly pools: string[] } | undefined;
}

export const LINK_DEAD_AFTER_MS = HEARTBEAT_MS * HEARTBEATS_MISSED;

/** Of a link that nothing has come over yet. */
export function newLoad(): Pick<
  NodeLink,
  'inFlight' | 'inFlightByPool' | 'draining' | 'closed' | 'declaration' | 'drained'
> {
  return {
    inFlight: 0,
    inFlightByPool: new Map(),
    draining: false,
    closed: false,
    declaration: undefined,
    drained: undefined,
  };
}

/** Whether a request may be sent there now. */
export function isServing(link: NodeLink, monotonicMs: number): boolean {
  return !link.closed && !link.draining && monotonicMs - link.lastHeardMs < LINK_DEAD_AFTER_MS;
}

/** `::ffff:127.0.0.2` and `127.0.0.2` are one address. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

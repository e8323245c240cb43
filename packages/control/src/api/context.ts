/** What handlers work with. Not a bag for the request: a handler gets its input and its actor as arguments. */
import type { ControlRoutes } from '@subcloud/contract/routes/control';
import type { InputOf, OutputOf, RouteSpec } from '@subcloud/contract/routes/route';
import type { Withdrawal } from '@subcloud/contract/routes/shapes';
import type { Clock } from '@subcloud/kit/clock';
import type { Actor } from '../access/actor.ts';
import type { WriteLoop } from '../audit/audited.ts';
import type { AuditSealer } from '../audit/seal.ts';
import type { Authority } from '../authority.ts';
import type { LocationMeasurer } from '../facts/measure-location.ts';
import type { NvidiaVerifier } from '../facts/nvidia-attestation.ts';
import type { Identity } from '../identity/identity.ts';
import type { EventStreams } from '../events/event-streams.ts';
import type { PassContext } from '../pass.ts';
import type { Database } from '../store/database.ts';
import type { Loads } from '../load/loads.ts';
import type { Leases } from '../watch/leases.ts';
import type { AgentFileContent } from './agent-file.ts';
import type { GatewayRecord } from '../world/gateway-record.ts';

/** Of routes that change nothing: there is nothing here to write with. */
export interface ApiContext {
  readonly db: Pick<Database, 'selectFrom'>;
  readonly loop: Pick<WriteLoop, 'world'>;
  readonly leases: Leases;
  readonly loads: Pick<Loads, 'now' | 'look'>;
  readonly authority: Authority;
  readonly sealer: Pick<AuditSealer, 'anchor' | 'broken'>;
  readonly clock: Clock;
  readonly pass: PassContext;
  readonly version: string;
  readonly openapi: () => Record<string, unknown>;
  /** Throws client.not_found where there is none. */
  readonly agentFile: () => Promise<AgentFileContent>;
  readonly identity: Identity;
  /** From where the request came, as the gateway saw it; empty where it came by no gateway. */
  readonly clientAddress: string;
  readonly replaceMeasurer: (measurer: LocationMeasurer) => void;
  /** Undefined: the admin has named no attestation service. */
  readonly nvidia: NvidiaVerifier | undefined;
  readonly gatewayLinks: GatewayLinks;
  readonly events: Pick<EventStreams, 'cursors'>;
}

/** Connections of gateways, as the handlers see them. */
export interface GatewayLinks {
  readonly watching: (gateway: string) => boolean;
  /** Ends the watch and every connection. */
  readonly cut: (gateway: GatewayRecord) => void;
}

/** Of routes that change something: every change goes through `loop` and says what the audit log is to say of it. */
export interface WriteContext extends ApiContext {
  readonly loop: WriteLoop;
}

type ContextOf<Spec extends RouteSpec> = Spec extends { readonly method: 'get' } | { readonly readOnly: string }
  ? ApiContext
  : WriteContext;

export type Handler<Name extends keyof ControlRoutes> = (
  context: ContextOf<ControlRoutes[Name]>,
  input: InputOf<ControlRoutes[Name]>,
  actor: Actor,
) => Promise<OutputOf<ControlRoutes[Name]>> | OutputOf<ControlRoutes[Name]>;
export type Handlers = { readonly [Name in keyof ControlRoutes]: Handler<Name> };

/** How long a withdrawal waits for the gateways before it answers who is outstanding. */
const WITHDRAWAL_WAIT_MS = 5_000;

/** Waits until no gateway routes by the old rule, or says which still may. */
export function withdrawn(context: Pick<ApiContext, 'leases'>, tableVersion: number): Promise<Withdrawal> {
  return context.leases.wait(tableVersion, WITHDRAWAL_WAIT_MS);
}

export function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
export function isoOrNull(timeMs: number | null): string | null {
  return timeMs === null ? null : iso(timeMs);
}

/** One page of a list that is in memory, ordered by `key`. */
export function page<Item>(
  items: readonly Item[],
  key: (item: Item) => string,
  query: { readonly cursor?: string | undefined; readonly limit: number },
): { items: Item[]; next: string | null } {
  const { cursor } = query;
  const sorted = [...items]
    .sort((a, b) => (key(a) < key(b) ? -1 : 1))
    .filter((item) => cursor === undefined || key(item) > cursor);
  const shown = sorted.slice(0, query.limit);
  const last = shown.at(-1);
  return { items: shown, next: sorted.length > query.limit && last !== undefined ? key(last) : null };
}

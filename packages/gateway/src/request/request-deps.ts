/** What the stages work with, made once a gateway; each stage takes only the parts that it needs. */
import type { ReportEvent } from '@subcloud/contract/watch';
import type { DecisionRecord } from '@subcloud/contract/watch';
import type { Clock, Random } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { ReserveKeeper } from '../capacity/reserves.ts';
import type { WaitingRoom } from '../capacity/waiting-room.ts';
import type { Limiter } from '../limits/limiter.ts';
import type { NodeLink } from '../link/node-link.ts';
import type { RoutingTable } from '../table/routing-table.ts';
import type { Journal } from '../usage/journal.ts';
import type { ActiveRequests } from './active-requests.ts';
import type { RequestSpans } from '../tracing/request-spans.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { RetryBudget } from './retry-budget.ts';
import type { Operation } from '@subcloud/contract/operation';

/** The state of the network as of now; asked again at every pick. */
export interface Present {
  table(): RoutingTable;
  /** Whether this gateway may serve by that table. */
  live(): boolean;
  controlNowMs(): number;
  readonly links: { get(node: string): NodeLink | undefined };
}

/** For tests and measurements: what was sent where, told in the turn in which it is sent. */
export interface Dispatch {
  readonly requestId: string;
  readonly pool: string;
  readonly model: string;
  readonly node: string;
  readonly tableVersion: number;
}
export interface GatewayObserver {
  onDispatch?(dispatch: Dispatch): void;
}

export interface RequestDeps {
  readonly present: Present;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly active: ActiveRequests;
  readonly budget: ByteBudget;
  readonly bodyTimeoutMs: number;
  /** Below which each pool has a host of its name; undefined: hosts name nothing. */
  readonly domain: string | undefined;
  /** A credential was used, in memory. */
  readonly used: (credential: string, atMs: number) => void;
  readonly limiter: Pick<Limiter, 'admit' | 'settle' | 'remaining'>;
  /** Requests that wait for a place, and those that have one. */
  readonly room: WaitingRoom;
  readonly reserves: ReserveKeeper;
  readonly retries: RetryBudget;
  readonly journal: Pick<Journal, 'append' | 'refuses'>;
  readonly report: (event: ReportEvent) => void;
  readonly decided: (record: DecisionRecord, operation: Operation) => void;
  /** Undefined: nothing is traced. */
  readonly spans: RequestSpans | undefined;
  readonly observe: GatewayObserver | undefined;
  /** Set once the gateway stops: nothing new is taken. */
  readonly draining: () => boolean;
}

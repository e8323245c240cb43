/** What the rest of the agent lends to its links. */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { SignedDocument } from '@subcloud/contract/documents';
import type { EngineLoad } from '@subcloud/contract/link';
import type { Clock, Random } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { SigningKey } from '@subcloud/kit/signing';
import type { ControlTime } from '../control-time.ts';
import type { CurrentDocument } from '../state/current-document.ts';
import type { NodeStateStore } from '../state/node-state.ts';
import type { DrainedPools } from '../serve/drained-pools.ts';
import type { ReceiptSink } from '../serve/receipts.ts';
import type { GatewayRegistry } from './gateway-registry.ts';

export interface LinkContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly localAddress: string | undefined;
  readonly key: SigningKey;
  readonly state: NodeStateStore;
  readonly time: ControlTime;
  readonly document: CurrentDocument;
  readonly registry: GatewayRegistry;
  /** A fresh signed declaration. */
  declare(): SignedDocument;
  /** What there is to say of pools that the node is leaving. */
  drained(): DrainedPools | undefined;
  /** What engines say of their own load. */
  loads(): readonly EngineLoad[];
  /** Requests being answered now, over all links. */
  inFlight(): number;
  /** `link`: the one that it came by. */
  serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, link: ReceiptSink): void;
}

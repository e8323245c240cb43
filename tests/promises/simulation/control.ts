/**
 * Control as it is, less PostgreSQL and sockets: the real loop, pass, reconciler, sequencer, table, leases, reports and
 * maintenance, on a clock that stands still until it is moved.
 */
import type { Authority } from '@subcloud/control/authority';
import { type PublishedTable, createPublishedTable } from '@subcloud/control/compile/published-table';
import { type ReportSink, createReportSink } from '@subcloud/control/facts/reports';
import { type Loop, createLoop } from '@subcloud/control/loop';
import { startMaintenance } from '@subcloud/control/maintenance';
import type { PassContext } from '@subcloud/control/pass';
import { type Leases, createLeases } from '@subcloud/control/watch/leases';
import { deltaLines, snapshotLines } from '@subcloud/control/watch/lines';
import type { NodeRecord, World } from '@subcloud/control/world/world';
import { NODE_DOCUMENT_VALID_MS } from '@subcloud/contract/documents';
import { HEARTBEAT_MS, HEARTBEATS_MISSED } from '@subcloud/contract/link';
import { TABLE_LEASE_MS, rowKey } from '@subcloud/contract/table';
import type { AcknowledgeRequest, AcknowledgeResponse, ReportsRequest } from '@subcloud/contract/watch';
import type { Clock, Random } from '@subcloud/kit/clock';
import { silentLog } from '@subcloud/kit/log';
import type { Place } from '@subcloud/policy/facts';
import { NETWORK_ID, openNoDatabase, worldAfterRestart } from './store.ts';

const UNSIGNED = { type: 'signing-key' as const, body: '{}', signer: '0'.repeat(64), signature: '' };
const CHAIN = { networkId: NETWORK_ID, networkKey: 'A'.repeat(43), signingKeys: [UNSIGNED] };
/** Where each address is; any other is nowhere. */
const PLACES: Readonly<Record<string, Place>> = {
  '10.0.0.1': { country: 'DE' },
  '10.0.0.2': { country: 'US' },
  '10.0.0.3': { country: 'FR' },
};
export const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];

export interface ControlOptions {
  readonly world: World;
  /** The highest version that an earlier run may have used. */
  readonly reserved: number;
  /** Gateway -> when it was last granted a lease, by the wall clock. */
  readonly granted: Map<string, number>;
  readonly clock: Clock;
  readonly random: Random;
  /** Control has concluded this version, and may act on it. */
  readonly onConcluded: (version: number) => void;
  /** A node's row of the table is made, its newest document in it; nobody has it yet. */
  readonly onStaged: (node: NodeRecord) => void;
}

export class SimulatedControl {
  readonly world: World;
  readonly context: PassContext;
  readonly loop: Loop;
  readonly leases: Leases;
  readonly #options: ControlOptions;
  readonly #reports: ReportSink;
  readonly #watches = new Map<string, () => void>();
  readonly #maintenance: { stop(): void };
  #reserved: number;
  #started = false;

  constructor(options: ControlOptions) {
    const { clock, reserved } = options;
    this.#options = options;
    this.#reserved = reserved;
    this.world = worldAfterRestart(options.world, reserved + 1);
    this.leases = this.#watched(createLeases(clock, this.#remembered(), reserved + 1));
    this.context = {
      db: openNoDatabase(),
      world: this.world,
      table: this.#watchedTable(createPublishedTable(reserved)),
      leases: this.leases,
      authority: unsignedAuthority(clock),
      clock,
      reserveVersions: (next) => {
        this.#reserved = Math.max(this.#reserved, next);
        return Promise.resolve();
      },
      gatewayUrls: () => [],
      startedAtMs: clock.nowMs(),
    };
    this.loop = createLoop({ ...this.context, log: silentLog });
    const measure = (address: string): { candidates: Place[]; evidence: 'map' | 'none' } => {
      const place = PLACES[address];
      return { candidates: place === undefined ? [] : [place], evidence: place === undefined ? 'none' : 'map' };
    };
    const measurer = { measure, databases: [] };
    this.#reports = createReportSink({ loop: this.loop, measurer: () => measurer, clock, log: silentLog });
    this.#maintenance = startMaintenance({
      ...this.context,
      loop: this.loop,
      random: options.random,
      log: silentLog,
      allGateways: () => [],
    });
  }

  get reserved(): number {
    return this.#reserved;
  }

  /** Nothing is served to gateways before the whole fleet is reconciled. */
  get ready(): boolean {
    return this.#started;
  }

  async start(): Promise<void> {
    this.context.table.stage('network', rowKey.network(), { networkId: NETWORK_ID, chain: CHAIN });
    await this.loop.change(() => Promise.resolve({ result: undefined, touched: 'all', apply: () => undefined }));
    this.#started = true;
  }

  /** The process is gone: its timers say nothing any more. */
  kill(): void {
    this.#started = false;
    this.#maintenance.stop();
    this.#reports.stop();
    for (const close of this.#watches.values()) close();
    this.#watches.clear();
    this.loop.stop().catch(() => undefined);
  }

  /** A watch from its snapshot on; `send` gets JSON lines. A second one of the same gateway ends the first. */
  openWatch(gateway: string, send: (line: string) => void): () => void {
    const { clock } = this.#options;
    const { table } = this.context;
    this.#watches.get(gateway)?.();
    for (const line of snapshotLines(table, this.world.epoch, clock.nowMs())) send(line);
    const unsubscribe = table.subscribe((delta) => {
      for (const line of deltaLines(delta, this.world.epoch, clock.nowMs())) send(line);
    });
    const close = (): void => {
      unsubscribe();
      if (this.#watches.get(gateway) !== close) return;
      this.#watches.delete(gateway);
      clock.after(HEARTBEAT_MS * HEARTBEATS_MISSED, () => {
        if (this.#started && !this.#watches.has(gateway)) this.#reports.forget(gateway);
      });
    };
    this.#watches.set(gateway, close);
    return close;
  }

  acknowledge({ gateway, boot, tableVersion }: AcknowledgeRequest): AcknowledgeResponse {
    const { clock, granted } = this.#options;
    const lease = tableVersion <= this.context.table.version && this.leases.acknowledge(gateway, boot, tableVersion);
    if (lease) granted.set(gateway, clock.nowMs());
    return { lease, leaseMs: TABLE_LEASE_MS, nowMs: clock.nowMs() };
  }

  report(request: ReportsRequest): Promise<void> {
    return this.#reports.receive(request);
  }

  #remembered(): ReadonlyMap<string, number> {
    const { clock, granted } = this.#options;
    const live = [...granted].filter(([, atMs]) => clock.nowMs() - atMs < TABLE_LEASE_MS);
    return new Map(live.map(([gateway]) => [gateway, clock.monotonicMs() + TABLE_LEASE_MS]));
  }

  #watchedTable(table: PublishedTable): PublishedTable {
    const stage: PublishedTable['stage'] = (kind, key, value) => {
      table.stage(kind, key, value);
      const node = kind === 'document' ? this.world.nodes.get(key.slice('document/'.length)) : undefined;
      if (node !== undefined) this.#options.onStaged(node);
    };
    return new Proxy(table, { get: (target, name) => (name === 'stage' ? stage : Reflect.get(target, name)) });
  }

  #watched(leases: Leases): Leases {
    return {
      ...leases,
      concluded: (version) => {
        const concluded = leases.concluded(version);
        if (concluded) this.#options.onConcluded(version);
        return concluded;
      },
    };
  }
}

/** Signatures are tested elsewhere; here a document is what control says it is. */
export function unsignedAuthority(clock: Clock): Authority {
  const sign = (
    type: 'node' | 'gateway' | 'control' | 'claim' | 'audit-seal',
    body: object,
  ): ReturnType<Authority['signNode']> => {
    const issuedAt = clock.nowMs();
    const whole = { ...body, version: 1, networkId: NETWORK_ID, issuedAt, notAfter: issuedAt + NODE_DOCUMENT_VALID_MS };
    return { type, body: JSON.stringify(whole), signer: '0'.repeat(64), signature: '' };
  };
  return {
    fingerprint: '',
    networkKey: CHAIN.networkKey,
    signingKey: CHAIN.networkKey,
    chain: () => CHAIN,
    renewIfDue: () => false,
    ring: {
      networkKey: CHAIN.networkKey,
      networkKeyHere: false,
      active: () => unsigned('a signing key'),
      activeCertificate: () => undefined,
      certificates: () => [],
      status: () => [],
      rotate: () => undefined,
      install: () => false,
      advance: () => false,
    },
    signGateway: (body) => sign('gateway', body),
    signControl: (body) => sign('control', body),
    signNode: (body) => sign('node', body),
    signAudit: (body) => ({ document: sign('audit-seal', body), certificate: sign('audit-seal', body) }),
    signReceiptKey: () => unsigned('a receipt key'),
    signClaim: (body) => sign('claim', body),
  };
}

function unsigned(what: string): never {
  throw new Error(`nothing is signed here, and there is no ${what}`);
}

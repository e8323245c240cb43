/**
 * Control for one term, as it is, less PostgreSQL and sockets: the real loop, pass, reconciler, sequencer, table, leases,
 * reports, maintenance, fence and reading of the store, on a clock that stands still until it is moved.
 */
import type { Authority } from '@subcloud/control/authority';
import { type PublishedTable, createPublishedTable } from '@subcloud/control/compile/published-table';
import { type ReportSink, createReportSink } from '@subcloud/control/facts/reports';
import { fencedDialect } from '@subcloud/control/leader/fenced-dialect';
import type { Leadership } from '@subcloud/control/leader/leadership';
import { type Loop, createLoop } from '@subcloud/control/loop';
import { startMaintenance } from '@subcloud/control/maintenance';
import type { PassContext } from '@subcloud/control/pass';
import { type GatewayStore, openGatewayStore } from '@subcloud/control/store/gateways';
import { openTableVersions } from '@subcloud/control/store/table-versions';
import type { Schema } from '@subcloud/control/store/schema';
import { type Leases, type Presence, createLeases } from '@subcloud/control/watch/leases';
import { deltaLines, snapshotLines } from '@subcloud/control/watch/lines';
import { loadWorld } from '@subcloud/control/world/load-world';
import type { NodeRecord, World } from '@subcloud/control/world/world';
import { NODE_DOCUMENT_VALID_MS } from '@subcloud/contract/documents';
import { HEARTBEAT_MS, HEARTBEATS_MISSED } from '@subcloud/contract/link';
import { TABLE_LEASE_MS, rowKey } from '@subcloud/contract/table';
import type { AcknowledgeRequest, AcknowledgeResponse, ReportsRequest } from '@subcloud/contract/watch';
import type { Clock, Random } from '@subcloud/kit/clock';
import { silentLog } from '@subcloud/kit/log';
import type { Place } from '@subcloud/policy/facts';
import { Kysely } from 'kysely';
import type { PartyClock } from './clocks.ts';
import { NETWORK_ID } from './store.ts';
import type { SimulatedStore } from './store/store.ts';

const UNSIGNED = { type: 'signing-key' as const, body: '{}', signer: '0'.repeat(64), signature: '' };
const CHAIN = { networkId: NETWORK_ID, networkKey: 'A'.repeat(43), signingKeys: [UNSIGNED] };
/** Where each address is; any other is nowhere. */
const PLACES: Readonly<Record<string, Place>> = {
  '10.0.0.1': { country: 'DE' },
  '10.0.0.2': { country: 'US' },
  '10.0.0.3': { country: 'FR' },
};
export const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
/** Versions that a term reserves at a time: few, so that an older network may have used more than a backup knows of. */
const VERSIONS_AT_ONCE = 20;

export interface ControlOptions {
  /** Planted: every version is taken for acknowledged. */
  readonly concludesAtOnce?: boolean;
  /** Names it to the store. */
  readonly client: string;
  readonly store: SimulatedStore;
  readonly leadership: Leadership;
  readonly clock: PartyClock;
  readonly random: Random;
  /** Control has concluded this version, and may act on it. */
  readonly onConcluded: (control: SimulatedControl, version: number) => void;
  /** A node's row of the table is made, its newest document in it; nobody has it yet. */
  readonly onStaged: (control: SimulatedControl, node: NodeRecord) => void;
  /** A pass has ended well, and nothing has come after it yet. */
  readonly onPassed: (control: SimulatedControl) => void;
}

export class SimulatedControl {
  readonly #options: ControlOptions;
  readonly #watches = new Map<string, () => void>();
  #wired: Wired | undefined;
  #started = false;
  #ended = false;
  #hungAtPass = 0;

  constructor(options: ControlOptions) {
    this.#options = options;
  }

  get client(): string {
    return this.#options.client;
  }
  get clock(): PartyClock {
    return this.#options.clock;
  }
  get world(): World {
    return this.#wiring.world;
  }
  get context(): PassContext {
    return this.#wiring;
  }
  get loop(): Loop {
    return this.#wiring.loop;
  }
  get leases(): Leases {
    return this.#wiring.leases;
  }
  get epoch(): number {
    return this.world.epoch;
  }

  /** Nothing is served to gateways before the whole fleet is reconciled, nor without the lead. */
  get ready(): boolean {
    return this.#started && !this.#ended && !this.clock.isStopped && this.#options.leadership.held();
  }

  /** What it stages may come to be seen: of one whose term is over nobody is sent anything. */
  get holdsLead(): boolean {
    return !this.#ended && this.#options.leadership.held();
  }

  /** It has started, and nobody has ended it: what it knows can be looked at. */
  get isWired(): boolean {
    return this.#started;
  }

  /** The pass under way has waited for nothing so far: what it decided on is what is. */
  get isSmooth(): boolean {
    return this.#options.store.seen.hung === this.#hungAtPass;
  }

  get #wiring(): Wired {
    if (this.#wired === undefined) throw new Error('control has not read the store yet');
    return this.#wired;
  }

  /** Rejects when the store fails meanwhile; the term is then given up. */
  async start(): Promise<void> {
    const { store, random } = this.#options;
    this.#wired = await wire(this.#options, this);
    const { table, loop, world } = this.#wired;
    table.stage('network', rowKey.network(), { networkId: world.networkId, chain: CHAIN });
    await loop.change(() => Promise.resolve({ result: undefined, touched: 'all', apply: () => undefined }));
    const maintenance = startMaintenance({ ...this.#wired, random, log: silentLog, allGateways: () => [] });
    this.#wired.stops.push(() => maintenance.stop());
    this.#started = true;
    this.#hungAtPass = store.seen.hung;
  }

  /** The process is gone, or its term is over: its timers say nothing any more. */
  end(): void {
    this.#ended = true;
    for (const stop of this.#wired?.stops ?? []) stop();
    for (const close of this.#watches.values()) close();
    this.#watches.clear();
    this.#wired?.loop.stop().catch(() => undefined);
  }

  /** A watch from its snapshot on; `send` gets JSON lines. A second one of the same gateway ends the first. */
  openWatch(gateway: string, send: (line: string) => void, cut: () => void): () => void {
    const { clock, leadership } = this.#options;
    const { table, reports } = this.#wiring;
    let isCut = false;
    // Who may not tell a line ends the watch, as the real one does: should it lead again, nobody follows with a gap.
    const sendHeld = (line: string): void => {
      if (isCut) return;
      if (leadership.held()) return send(line);
      isCut = true;
      cut();
    };
    this.#watches.get(gateway)?.();
    for (const line of snapshotLines(table, this.epoch, clock.nowMs())) sendHeld(line);
    const unsubscribe = table.subscribe((delta) => {
      for (const line of deltaLines(delta, this.epoch, clock.nowMs())) sendHeld(line);
    });
    const close = (): void => {
      unsubscribe();
      if (this.#watches.get(gateway) !== close) return;
      this.#watches.delete(gateway);
      clock.after(HEARTBEAT_MS * HEARTBEATS_MISSED, () => {
        if (!this.#ended && !this.#watches.has(gateway)) reports.forget(gateway);
      });
    };
    this.#watches.set(gateway, close);
    return close;
  }

  /** As the channel with gateways does it; rejects where control may not answer. */
  async acknowledge({ gateway, boot, tableVersion }: AcknowledgeRequest): Promise<AcknowledgeResponse> {
    this.#requireLead();
    const { clock } = this.#options;
    const { table, leases, gateways } = this.#wiring;
    const presence: Presence = this.world.gateways.get(gateway)?.by === 'tls' ? 'many' : 'sole';
    const lease = tableVersion <= table.version && leases.acknowledge(gateway, boot, tableVersion, presence);
    if (lease) await gateways.leased(gateway, boot);
    this.#requireLead();
    return { lease, leaseMs: TABLE_LEASE_MS, nowMs: clock.nowMs() };
  }

  async report(request: ReportsRequest): Promise<void> {
    this.#requireLead();
    await this.#wiring.reports.receive(request);
  }

  passBegins(): void {
    this.#hungAtPass = this.#options.store.seen.hung;
  }

  passEnds(isWell: boolean): void {
    if (isWell) this.#options.onPassed(this);
  }

  #requireLead(): void {
    if (!this.ready) throw new Error('another replica leads');
  }
}

interface Wired extends PassContext {
  readonly loop: Loop;
  readonly reports: ReportSink;
  readonly gateways: GatewayStore;
  readonly stops: (() => void)[];
}

async function wire(options: ControlOptions, control: SimulatedControl): Promise<Wired> {
  const { client, store, leadership, clock } = options;
  const db = new Kysely<Schema>({ dialect: fencedDialect(store.dialect(client), leadership.fence, leadership.revoke) });
  const world = await loadWorld(db);
  const versions = await openTableVersions(db, VERSIONS_AT_ONCE);
  for (const node of world.nodes.values()) node.lossVersion = versions.first + 1;
  const gateways = await openGatewayStore(db, world, clock);
  for (const gateway of gateways.known) world.unheard.set(gateway, clock.nowMs());
  const leases = createLeases(clock, gateways.remembered, versions.first + 1);
  const context: PassContext = {
    db,
    world,
    table: watchedTable(createPublishedTable(versions.first), world, (node) => options.onStaged(control, node)),
    leases: {
      ...leases,
      concluded: (version) => {
        const concluded = options.concludesAtOnce === true || leases.concluded(version);
        if (concluded) options.onConcluded(control, version);
        return concluded;
      },
    },
    authority: unsignedAuthority(clock),
    clock,
    reserveVersions: (next) => {
      control.passBegins();
      return versions.reserve(next);
    },
    gatewayUrls: () => [],
    startedAtMs: clock.nowMs(),
  };
  const metrics = { passed: () => control.passEnds(true), passFailed: () => control.passEnds(false) };
  const loop = createLoop({ ...context, metrics, log: silentLog });
  const measure = (address: string): { candidates: Place[]; evidence: 'map' | 'none' } => {
    const place = PLACES[address];
    return { candidates: place === undefined ? [] : [place], evidence: place === undefined ? 'none' : 'map' };
  };
  const measurer = { measure, databases: [] };
  const reports = createReportSink({ loop, measurer: () => measurer, clock, log: silentLog });
  return { ...context, loop, reports, gateways, stops: [() => reports.stop()] };
}

function watchedTable(table: PublishedTable, world: World, onStaged: (node: NodeRecord) => void): PublishedTable {
  const stage: PublishedTable['stage'] = (kind, key, value) => {
    table.stage(kind, key, value);
    const node = kind === 'document' ? world.nodes.get(key.slice('document/'.length)) : undefined;
    if (node !== undefined) onStaged(node);
  };
  return {
    get version() {
      return table.version;
    },
    rows: table.rows,
    stage,
    publish: () => table.publish(),
    subscribe: (onDelta) => table.subscribe(onDelta),
  };
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

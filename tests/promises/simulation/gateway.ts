/**
 * A gateway, less its sockets: the real table, the real reader of the watch, the real lease and control time. What goes to
 * control or to an agent goes through channels that the simulation delays, reorders and cuts.
 */
import type { SignedDocument } from '@subcloud/contract/documents';
import type { MemberRow } from '@subcloud/contract/table';
import type { AcknowledgeRequest, AcknowledgeResponse, ReportEvent, ReportsRequest } from '@subcloud/contract/watch';
import { EMPTY_TABLE, type RoutingTable, TableError } from '@subcloud/gateway/table/routing-table';
import { type ControlTime, controlTime } from '@subcloud/gateway/watch/control-time';
import { type Lease, type Moment, createLease } from '@subcloud/gateway/watch/lease';
import { tableReader } from '@subcloud/gateway/watch/table-reader';
import type { Clock } from '@subcloud/kit/clock';
import type { DrainedPools } from '@subcloud/agent/serve/drained-pools';
import type { SimulatedAgent } from './agent.ts';
import type { SimulatedControl } from './control.ts';

/** One link: what is under way in either direction arrives in order or not at all. */
export interface SimulatedLink {
  readonly agent: SimulatedAgent;
  readonly address: string;
  epoch: number;
  serial: number;
  declaration: SignedDocument | undefined;
  drained: DrainedPools | undefined;
  readonly down: SignedDocument[];
  readonly up: (
    | { readonly type: 'declaration'; readonly document: SignedDocument }
    | { readonly type: 'document-acknowledged'; readonly epoch: number; readonly serial: number }
    | ({ readonly type: 'drained' } & DrainedPools)
  )[];
}

export interface SentAcknowledgement {
  readonly request: AcknowledgeRequest;
  readonly sentAt: Moment;
}

/** What a gateway could pick: a row of its table, now. */
export interface Offer {
  readonly node: string;
  readonly pool: string;
  readonly model: string;
}

export class SimulatedGateway {
  readonly id: string;
  readonly #clock: Clock;
  boot = 0;
  table: RoutingTable = EMPTY_TABLE;
  lease: Lease;
  /** Lines of the watch under way; undefined: there is no watch. */
  watch: string[] | undefined;
  /** Whom it asks: who the watch is of. */
  control: SimulatedControl | undefined;
  /** Of a faulty one alone: it takes tables of any epoch. */
  forgetsEpochs = false;
  neverStops = false;
  /** Of a faulty one alone: it picks nodes that are out of service. */
  ignoresDrains = false;
  readonly links = new Map<string, SimulatedLink>();
  #time: ControlTime;
  #read: (message: unknown) => void = () => undefined;
  #loaded = false;
  /** The member rows of a table, kept because they are asked for at every step. */
  #rowsOf: RoutingTable | undefined;
  #rows: readonly MemberRow[] = [];
  #events: ReportEvent[] = [];
  #whole = false;
  #reporting = false;

  constructor(id: string, clock: Clock) {
    this.id = id;
    this.#clock = clock;
    this.lease = createLease(clock);
    this.#time = controlTime(clock);
  }

  /** Control's time as it knows it, ms. */
  get controlNowMs(): number {
    return this.#time.nowMs();
  }

  restart(): void {
    this.boot += 1;
    this.table = EMPTY_TABLE;
    this.lease = createLease(this.#clock);
    this.#time = controlTime(this.#clock);
    this.watch = undefined;
    this.control = undefined;
    this.#loaded = false;
    this.#events = [];
    this.#whole = false;
    this.#reporting = false;
    const agents = [...this.links.values()].map(({ agent }) => agent);
    this.links.clear();
    for (const agent of agents) agent.finishAll(this.id);
  }

  /** It serves: there is a table, and the right to route by it. */
  live(): boolean {
    return this.#loaded && (this.neverStops || this.lease.live());
  }

  /** The member rows of its table, whether or not they hold at this moment. */
  rows(): readonly MemberRow[] {
    if (this.#rowsOf !== this.table) {
      this.#rowsOf = this.table;
      this.#rows = [...this.table.poolIndexes.values()].flatMap(({ members }) => [...members.values()]);
    }
    return this.#rows;
  }

  /** Every row that it could pick from, whether or not the node is linked at this moment. */
  offers(): readonly Offer[] {
    if (!this.live()) return [];
    const nowMs = this.#time.nowMs();
    return this.rows()
      .filter(({ validUntil }) => validUntil === null || validUntil > nowMs)
      .filter(({ node }) => this.ignoresDrains || this.table.nodes.get(node)?.draining !== true)
      .flatMap(({ node, pool, models }) => models.map((model) => ({ node, pool, model })));
  }

  watchOpened(lines: string[], control: SimulatedControl): void {
    this.watch = lines;
    this.control = control;
    let fresh = true;
    this.#read = tableReader(this.forgetsEpochs ? { ...this.table, epoch: 0, version: 0 } : this.table, {
      committed: (change, nowMs) => {
        this.table = change.table;
        this.#loaded = true;
        this.#time.heard(nowMs, this.#clock.monotonicMs());
        for (const link of this.links.values()) this.#pushDocument(link);
        if (!fresh) return;
        fresh = false;
        this.#whole = true;
      },
      pinged: (nowMs) => this.#time.heard(nowMs, this.#clock.monotonicMs()),
    });
  }

  /** Reads the next line under way. True when it was the end of a version, which is to be acknowledged. */
  readLine(): boolean {
    const line = this.watch?.shift();
    if (line === undefined) return false;
    const message: unknown = JSON.parse(line);
    try {
      this.#read(message);
    } catch (error) {
      // As the real one: a watch that it cannot follow is ended, and another is opened.
      if (!(error instanceof TableError)) throw error;
      this.watch = undefined;
      return false;
    }
    return (message as { type?: unknown }).type === 'commit';
  }

  acknowledgement(): SentAcknowledgement | undefined {
    if (!this.#loaded) return undefined;
    const request = {
      gateway: this.id,
      boot: String(this.boot),
      tableVersion: this.table.version,
      share: { lo: 0, hi: 0, sequence: 0 },
    };
    return { request, sentAt: this.lease.mark() };
  }

  acknowledged({ sentAt, request }: SentAcknowledgement, answer: AcknowledgeResponse): void {
    if (request.boot !== String(this.boot)) return;
    if (answer.lease) this.lease.granted(sentAt, answer.leaseMs);
    this.#time.heard(answer.nowMs, this.#clock.monotonicMs());
  }

  /** What goes to control next, one at a time; undefined where there is nothing, or one is under way. */
  nextReport(): ReportsRequest | undefined {
    if (this.#reporting || !this.#loaded || (this.#events.length === 0 && !this.#whole)) return undefined;
    const links = [...this.links.values()].map(({ agent, address, epoch, serial }) => ({
      node: agent.id,
      address,
      epoch,
      serial,
    }));
    const declared = [...this.links.values()].flatMap(({ agent: { id: node }, declaration: document, drained }) => [
      ...(document === undefined ? [] : [{ type: 'declaration' as const, node, document }]),
      ...(drained === undefined ? [] : [eventOf(node, drained)]),
    ]);
    // The set of links first, then what each declares, as the real one does in two calls.
    const request = {
      gateway: this.id,
      boot: String(this.boot),
      ...(this.#whole ? { links } : {}),
      events: this.#whole ? [...this.#events, ...declared] : this.#events,
    };
    this.#events = [];
    this.#whole = false;
    this.#reporting = true;
    return request;
  }

  reported(request: ReportsRequest, arrived: boolean): void {
    if (request.boot !== String(this.boot)) return;
    this.#reporting = false;
    if (!arrived) this.#whole = true;
  }

  heartbeat(): void {
    for (const { agent } of this.links.values()) agent.time.heard(this.#time.nowMs());
    if (this.links.size > 0) this.#events.push({ type: 'alive', nodes: [...this.links.keys()] });
    const { version: tableVersion, draining } = this.table;
    for (const node of draining) {
      const requests = this.links.get(node)?.agent.inFlightFrom(this.id) ?? 0;
      this.#events.push({ type: 'in-flight', node, tableVersion, requests });
    }
  }

  /** Takes an agent's link, if the table knows the node. */
  link(agent: SimulatedAgent): SimulatedLink | undefined {
    if (!this.#loaded || this.links.has(agent.id) || this.table.nodes.get(agent.id) === undefined) return undefined;
    agent.time.heard(this.#time.nowMs());
    const { epoch, serial } = agent.position;
    const link: SimulatedLink = {
      agent,
      address: agent.address,
      epoch,
      serial,
      declaration: undefined,
      drained: undefined,
      down: [],
      up: [{ type: 'declaration', document: agent.declaration() }],
    };
    const drained = agent.drained();
    if (drained !== undefined) link.up.push({ type: 'drained', ...drained });
    this.links.set(agent.id, link);
    this.#events.push({ type: 'linked', node: agent.id, address: agent.address, epoch, serial });
    this.#pushDocument(link);
    return link;
  }

  unlink(node: string): void {
    const link = this.links.get(node);
    if (link === undefined) return;
    this.links.delete(node);
    this.#events.push({ type: 'unlinked', node });
    link.agent.finishAll(this.id);
  }

  /** The agent reads the next document under way, and answers on the same link. */
  deliverDown(link: SimulatedLink): void {
    const document = link.down.shift();
    if (document === undefined || !link.agent.accept(document)) return;
    link.up.push({ type: 'document-acknowledged', ...link.agent.position });
  }

  deliverUp(link: SimulatedLink): void {
    const message = link.up.shift();
    if (message === undefined) return;
    const node = link.agent.id;
    if (message.type === 'declaration') {
      link.declaration = message.document;
      this.#events.push({ type: 'declaration', node, document: message.document });
    } else if (message.type === 'drained') {
      link.drained = message;
      this.#events.push(eventOf(node, message));
    } else {
      link.epoch = message.epoch;
      link.serial = message.serial;
      this.#events.push({ type: 'document-acknowledged', node, epoch: message.epoch, serial: message.serial });
    }
  }

  #pushDocument(link: SimulatedLink): void {
    const row = this.table.documents.get(link.agent.id);
    if (row === undefined || row.epoch < link.epoch || (row.epoch === link.epoch && row.serial <= link.serial)) return;
    link.down.push(row.document);
  }
}

function eventOf(node: string, { epoch, serial, pools }: DrainedPools): ReportEvent {
  return { type: 'drained', node, epoch, serial, pools: [...pools] };
}

/**
 * Every link of this gateway. A link is in `get` from the moment its hello held until the moment anything ends it; what
 * is not in there is never picked. One link a node: a second with a live key is refused, unless the first no longer
 * answers a ping. A node that leaves the table loses its link at once.
 */
import { constants } from 'node:http2';
import type { TrustChain } from '@subcloud/contract/documents';
import { type AgentMessage, LINK_HANDSHAKE_TIMEOUT_MS, linkTranscript } from '@subcloud/contract/link';
import type { ServingBatch } from '@subcloud/contract/receipts';
import type { ReportEvent } from '@subcloud/contract/watch';
import type { Clock, Timer } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { verifyText } from '@subcloud/kit/signing';
import { NodeStats } from '../schedule/node-stats.ts';
import type { RoutingTable, TableChange } from '../table/routing-table.ts';
import type { LinkStates } from '../watch/reports.ts';
import { inTurns } from './in-turns.ts';
import { answersPing } from './ping.ts';
import { type RefusedLinks, refuse } from './refused-links.ts';
import { LinkGuard } from './link-guard.ts';
import { LINK_DEAD_AFTER_MS, type NodeLink, newLoad } from './node-link.ts';
import { type ReportStream, openReportStream } from './report-stream.ts';
import type { UpgradedSocket } from './upgrade.ts';

const ROW_WAIT_MS = 3_000;
const SWEEP_MS = 1_000;
/** For so long a node that flooded its link is not taken again. */
const FLOODED_MS = 60_000;
const MAX_HANDSHAKES = 512;
/** One address cannot take all of them; many nodes may stand behind it. */
const MAX_HANDSHAKES_PER_ADDRESS = 64;

export interface LinkHubOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly table: () => RoutingTable;
  readonly controlNowMs: () => number;
  readonly report: (event: ReportEvent) => void;
  /** What a node signed of its answers. */
  readonly receipts: (node: string, batch: ServingBatch) => void;
  readonly refused: RefusedLinks;
}

export interface LinkHub {
  get(node: string): NodeLink | undefined;
  readonly size: number;
  accept(upgraded: UpgradedSocket): void;
  /** Acts on rows that came or went: wakes hellos that wait, pushes documents, closes links of nodes that are gone. */
  tableChanged(change: TableChange): void;
  /** Of every linked node. */
  live(): Iterable<NodeLink>;
  states(): LinkStates;
  /** The newest that the agent declared. */
  declaration(node: string): ReportEvent | undefined;
  /** What agents last said of pools that they are leaving: control keeps that in memory alone. */
  drained(): readonly ReportEvent[];
  /** GOAWAY to all; resolves when every session has closed, or destroys them after `maxMs`. */
  close(maxMs: number): Promise<void>;
}

interface HeldLink extends NodeLink {
  readonly reports: ReportStream;
  readonly publicKey: string;
}

export function createLinkHub(options: LinkHubOptions): LinkHub {
  return new Hub(options);
}

class Hub implements LinkHub {
  readonly #options: LinkHubOptions;
  readonly #links = new Map<string, HeldLink>();
  readonly #stats = new Map<string, NodeStats>();
  readonly #arriving = new Set<string>();
  /** Hellos whose node is not in the table yet, by node. */
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #sweep: Timer;
  readonly #handshakesFrom = new Map<string, number>();
  /** Nodes that flooded this gateway, and until when (monotonic) they are not taken again. */
  readonly #floodedUntilMs = new Map<string, number>();
  #sweptMs: number;
  #handshakes = 0;
  #closing = false;
  /** As JSON. */
  #chain: string | undefined;

  constructor(options: LinkHubOptions) {
    this.#options = options;
    this.#sweptMs = options.clock.monotonicMs();
    this.#sweep = options.clock.every(SWEEP_MS, () => this.#dropDead());
  }

  get(node: string): NodeLink | undefined {
    return this.#links.get(node);
  }

  live(): Iterable<NodeLink> {
    return this.#links.values();
  }

  get size(): number {
    return this.#links.size;
  }

  accept(upgraded: UpgradedSocket): void {
    const { session, transcript, address } = upgraded;
    const fromThere = this.#handshakesFrom.get(address) ?? 0;
    if (this.#closing) return refuse(upgraded, 'platform.starting');
    if (this.#handshakes >= MAX_HANDSHAKES || fromThere >= MAX_HANDSHAKES_PER_ADDRESS) {
      return refuse(upgraded, 'capacity.overloaded');
    }
    this.#handshakes += 1;
    this.#handshakesFrom.set(address, fromThere + 1);
    const handshake: Handshake = {
      upgraded,
      done: false,
      greeted: false,
      link: undefined,
      timer: undefined,
      reports: undefined,
      chain: this.#options.table().network?.chain,
    };
    const finish = (): void => {
      if (handshake.done) return;
      handshake.done = true;
      this.#handshakes -= 1;
      const left = (this.#handshakesFrom.get(address) ?? 1) - 1;
      if (left === 0) this.#handshakesFrom.delete(address);
      else this.#handshakesFrom.set(address, left);
      handshake.timer?.cancel();
    };
    handshake.timer = this.#options.clock.after(LINK_HANDSHAKE_TIMEOUT_MS, () => session.destroy());
    session.once('close', () => {
      finish();
      if (handshake.link !== undefined) this.#drop(handshake.link);
    });
    session.on('goaway', () => {
      if (handshake.link !== undefined) handshake.link.draining = true;
    });
    const onMessage = (message: AgentMessage): void => {
      if (handshake.link !== undefined) return this.#hear(handshake.link, message);
      // A hello may wait for its node's row; the agent's heart beats meanwhile.
      if (message.type === 'heartbeat' && handshake.greeted) return undefined;
      if (message.type !== 'hello' || handshake.greeted) return refuse(upgraded, 'client.invalid_request');
      handshake.greeted = true;
      this.#greet(handshake, message)
        .catch((error: unknown) => {
          this.#options.log.warn({ err: error, node: transcript.nodeId }, 'a link hello failed');
          refuse(upgraded, 'platform.internal');
        })
        .finally(finish);
    };
    const start = (): void => {
      if (session.destroyed) return;
      session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
      const heard = (bytes: number): void => {
        if (handshake.link !== undefined) handshake.link.guard.usefulBytes += bytes;
      };
      handshake.reports = openReportStream(session, { message: onMessage, broken: () => session.destroy(), heard });
    };
    if (session.connecting) session.once('connect', start);
    else start();
  }

  /** Checks a hello against the table, and takes the link or refuses it. */
  async #greet(handshake: Handshake, hello: Extract<AgentMessage, { type: 'hello' }>): Promise<void> {
    const { upgraded, reports } = handshake;
    const { session, socket, transcript, address } = upgraded;
    const node = transcript.nodeId;
    if (!verifyText(hello.publicKey, linkTranscript('agent', transcript), hello.signature)) {
      return refuse(upgraded, 'policy.node_refused');
    }
    const knows = (): boolean => this.#options.table().nodes.get(node)?.publicKey === hello.publicKey;
    if (this.#options.table().nodes.get(node) === undefined) await this.#rowOf(node);
    if (!knows()) return refuse(upgraded, 'policy.node_refused');
    if (this.#floodedUntilMs.has(node)) return refuse(upgraded, 'capacity.overloaded');
    // Only whoever holds the key gets this far: nobody else can keep the node out by dialling in its name.
    if (this.#arriving.has(node)) return refuse(upgraded, 'client.conflict');
    this.#arriving.add(node);
    try {
      const before = this.#links.get(node);
      if (before !== undefined) {
        if (await answersPing(before.session, this.#options.clock)) {
          this.#options.refused.tell({ node, why: 'second-link', address, says: before.address });
          return refuse(upgraded, 'client.conflict');
        }
        this.#drop(before);
        before.session.destroy();
      }
      // Asked last: the table may have changed in any of the waits above.
      if (!knows()) return refuse(upgraded, 'policy.node_refused');
      if (session.destroyed || session.closed || reports === undefined || this.#closing) return;
      const link: HeldLink = {
        node,
        address,
        session,
        stats: this.#statsOf(node),
        ...newLoad(),
        guard: new LinkGuard(socket),
        lastHeardMs: this.#options.clock.monotonicMs(),
        epoch: hello.epoch,
        serial: hello.serial,
        reports,
        publicKey: hello.publicKey,
      };
      handshake.link = link;
      this.#links.set(node, link);
      reports.send({ type: 'welcome', nowMs: this.#options.controlNowMs() });
      // The chain of the gateway's hello may be older than the table by now.
      const chain = this.#options.table().network?.chain;
      if (chain !== undefined && chain !== handshake.chain) reports.send({ type: 'chain', chain });
      this.#options.report({ type: 'linked', node, address: link.address, epoch: link.epoch, serial: link.serial });
      this.#pushDocument(link);
    } finally {
      this.#arriving.delete(node);
    }
  }

  /** Resolves when the table has a row of this node, or after ROW_WAIT_MS: one just enrolled is ahead of the watch. */
  #rowOf(node: string): Promise<void> {
    return new Promise((resolve) => {
      const ofNode = this.#waiting.get(node) ?? new Set<() => void>();
      const done = (): void => {
        timer.cancel();
        ofNode.delete(done);
        if (ofNode.size === 0) this.#waiting.delete(node);
        resolve();
      };
      const timer = this.#options.clock.after(ROW_WAIT_MS, done);
      this.#waiting.set(node, ofNode.add(done));
    });
  }

  #hear(link: HeldLink, message: AgentMessage): void {
    if (link.closed) return;
    const { node } = link;
    link.lastHeardMs = this.#options.clock.monotonicMs();
    link.guard.lines += 1;
    switch (message.type) {
      case 'heartbeat':
        return link.reports.send({ type: 'time', nowMs: this.#options.controlNowMs() });
      case 'load':
        return link.stats.reported(message.engines, link.lastHeardMs);
      case 'declaration':
        link.declaration = message.document;
        return this.#options.report({ type: 'declaration', node, document: message.document });
      case 'drained':
        link.drained = { epoch: message.epoch, serial: message.serial, pools: message.pools };
        return this.#options.report({ ...link.drained, type: 'drained', node });
      case 'receipts':
        return this.#options.receipts(node, message);
      case 'document-acknowledged':
        link.epoch = message.epoch;
        link.serial = message.serial;
        return this.#options.report({ ...message, node });
      case 'draining':
        link.draining = true;
        return undefined;
      case 'hello':
        link.session.destroy();
        return undefined;
    }
  }

  /** Before any document that a new key signed: agents of long links learn of it here and nowhere else. */
  #chainChanged({ network }: RoutingTable): void {
    const text = JSON.stringify(network?.chain);
    if (text === this.#chain) return;
    this.#chain = text;
    if (network !== undefined)
      for (const link of this.#links.values()) link.reports.send({ type: 'chain', chain: network.chain });
  }

  #pushDocument(link: HeldLink): void {
    const row = this.#options.table().documents.get(link.node);
    if (row === undefined || row.epoch < link.epoch || (row.epoch === link.epoch && row.serial <= link.serial)) return;
    link.reports.send({ type: 'document', document: row.document });
  }

  #statsOf(node: string): NodeStats {
    const known = this.#stats.get(node) ?? new NodeStats();
    this.#stats.set(node, known);
    return known;
  }

  tableChanged(change: TableChange): void {
    for (const [node, ofNode] of this.#waiting)
      if (change.whole ? change.table.nodes.get(node) !== undefined : change.nodes.has(node))
        for (const wake of ofNode) wake();
    // As many records as the table has nodes, at most.
    for (const node of change.whole ? this.#stats.keys() : change.nodes.keys())
      if (change.table.nodes.get(node) === undefined) this.#stats.delete(node);
    this.#chainChanged(change.table);
    for (const link of change.whole ? [...this.#links.values()] : this.#touched(change)) {
      // Gone, or another machine under the same id.
      if (change.table.nodes.get(link.node)?.publicKey !== link.publicKey) {
        this.#drop(link);
        link.session.destroy();
      } else if (!change.whole && change.documents.has(link.node)) this.#pushDocument(link);
    }
    if (change.whole)
      inTurns([...this.#links.values()], (link) => {
        if (this.#links.get(link.node) === link) this.#pushDocument(link);
      });
  }

  #touched({ nodes, documents }: TableChange): readonly HeldLink[] {
    return [...new Set([...nodes.keys(), ...documents.keys()])].flatMap((node) => this.#links.get(node) ?? []);
  }

  #dropDead(): void {
    const nowMs = this.#options.clock.monotonicMs();
    const elapsedMs = nowMs - this.#sweptMs;
    this.#sweptMs = nowMs;
    for (const [node, untilMs] of this.#floodedUntilMs) if (untilMs <= nowMs) this.#floodedUntilMs.delete(node);
    for (const link of this.#links.values()) {
      const isDead = nowMs - link.lastHeardMs >= LINK_DEAD_AFTER_MS;
      const excess = link.guard.excess(elapsedMs);
      if (!isDead && excess === undefined) continue;
      const { node } = link;
      if (isDead) this.#options.log.warn({ node }, 'a link is dead: its heartbeats stopped');
      else {
        this.#options.log.warn({ node, excess, forMs: FLOODED_MS }, 'an agent floods its link: it is cut and kept out');
        this.#floodedUntilMs.set(node, nowMs + FLOODED_MS);
      }
      this.#drop(link);
      link.session.destroy();
    }
  }

  /** Out of every pick before anything else happens. */
  #drop(link: HeldLink): void {
    if (link.closed) return;
    link.closed = true;
    if (this.#links.get(link.node) === link) this.#links.delete(link.node);
    this.#options.report({ type: 'unlinked', node: link.node });
  }

  states(): LinkStates {
    const nowMs = this.#options.clock.monotonicMs();
    return [...this.#links.values()]
      .filter(({ lastHeardMs }) => nowMs - lastHeardMs < LINK_DEAD_AFTER_MS)
      .map(({ node, address, epoch, serial }) => ({ node, address, epoch, serial }));
  }

  declaration(node: string): ReportEvent | undefined {
    const document = this.#links.get(node)?.declaration;
    return document === undefined ? undefined : { type: 'declaration', node, document };
  }

  drained(): readonly ReportEvent[] {
    return [...this.#links.values()].flatMap(({ node, drained }) =>
      drained === undefined ? [] : [{ ...drained, type: 'drained' as const, node }],
    );
  }

  async close(maxMs: number): Promise<void> {
    this.#closing = true;
    this.#sweep.cancel();
    for (const ofNode of this.#waiting.values()) for (const wake of ofNode) wake();
    const links = [...this.#links.values()];
    const closed = links.map(
      ({ session }) =>
        new Promise<void>((resolve) => {
          if (session.destroyed) return resolve();
          session.once('close', () => resolve());
          // The report stream never ends by itself, so a graceful close would wait for it for ever.
          session.goaway(constants.NGHTTP2_NO_ERROR);
          session.destroy();
        }),
    );
    for (const link of links) this.#drop(link);
    const bound = this.#options.clock.after(maxMs, () => links.forEach(({ session }) => session.destroy()));
    await Promise.all(closed);
    bound.cancel();
  }
}

/** The connection's own window: one caller that does not read must not hold up the others of its node. */
const CONNECTION_WINDOW_BYTES = 16_777_216;

interface Handshake {
  readonly upgraded: UpgradedSocket;
  done: boolean;
  greeted: boolean;
  link: HeldLink | undefined;
  timer: Timer | undefined;
  reports: ReportStream | undefined;
  /** What the table held when the hello was signed. */
  readonly chain: TrustChain | undefined;
}

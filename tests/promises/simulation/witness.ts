/**
 * Looks at the whole network after every event, as nobody inside it can, and throws at the first thing that must not be.
 * It knows nothing of how the order is kept: only who could route what, who would accept it, and what was said to be over.
 * Sets that did not change are not drawn again (masks.ts); every so often all of it is, and compared (whole-look.ts).
 */
import { drainedOf } from '@subcloud/control/compile/desired';
import type { DocumentRecord, NodeRecord } from '@subcloud/control/world/world';
import type { TableDelta } from '@subcloud/control/compile/published-table';
import type { SimulatedAgent } from './agent.ts';
import type { SimulatedControl } from './control.ts';
import type { SimulatedGateway } from './gateway.ts';
import { Drains } from './drains.ts';
import { Masks, POOLS, bitsOf, wordOf } from './masks.ts';
import { isMember, isolationKept, lockHolds, wholeLook } from './whole-look.ts';

export interface Network {
  /** The replica that leads, or led last; undefined before the first. */
  readonly control: SimulatedControl | undefined;
  readonly gateways: readonly SimulatedGateway[];
  readonly agents: readonly SimulatedAgent[];
}

/** Everything is drawn anew after so many events. */
const WHOLE_EVERY = 256;

/** Versions of a later epoch come after all of an earlier one. */
export const placeOf = (epoch: number, version: number): number => epoch * 1e9 + version;

export class Witness {
  readonly masks: Masks;
  readonly #network: () => Network;
  /** Control has said of this place, and of all below, that nobody routes by less. */
  #concluded = 0;
  /** Rows that the newest table has, and by bit the place from which it does not have it any more. */
  #published = 0;
  readonly #withdrawnAt = new Map<number, number>();
  #watched: SimulatedControl | undefined;
  #looks = 0;
  readonly #documents = new Map<string, DocumentRecord>();
  /** `POOL/NODE` -> the isolation that the last document with that pool had: what was agreed to. */
  readonly #isolation = new Map<string, string>();
  /** Ends of leases that a withdrawal announced (true time, ms), and the place that holds from then on. */
  #announced: { readonly place: number; readonly atMs: number }[] = [];
  readonly seen = {
    picks: 0,
    refusals: 0,
    rogueAccepted: 0,
    documents: 0,
    withdrawals: 0,
    held: 0,
    alone: 0,
    draining: 0,
    drained: 0,
    wholeLooks: 0,
    outOfService: 0,
    saidDrained: 0,
  };

  constructor(agents: readonly SimulatedAgent[], network: () => Network) {
    this.masks = new Masks(agents);
    this.#network = network;
  }

  concluded({ epoch }: SimulatedControl, version: number): void {
    this.#concluded = Math.max(this.#concluded, placeOf(epoch, version));
  }

  /** Out of service, by an answer that an operator had: from that place on, until the operator asks for the contrary. */
  readonly drains = new Drains();

  /** A withdrawal was answered: it holds now, or from then on. */
  announced(control: SimulatedControl, version: number, atMs: number | undefined): void {
    if (atMs === undefined) this.concluded(control, version);
    else this.#announced.push({ place: placeOf(control.epoch, version), atMs });
  }

  look(nowMs: number): void {
    const network = this.#network();
    const { control, gateways, agents } = network;
    for (const { place, atMs } of this.#announced)
      if (atMs <= nowMs) this.#concluded = Math.max(this.#concluded, place);
    if (this.#announced.length > 0) this.#announced = this.#announced.filter(({ atMs }) => atMs > nowMs);
    this.#watch(control);
    let offered = 0;
    for (const gateway of gateways) {
      const bits = this.masks.offered(gateway);
      if (bits !== 0) {
        this.#lease(gateway);
        this.seen.outOfService += this.drains.check(gateway, bits, this.masks);
      }
      offered |= bits;
    }
    for (const [bit, place] of this.#withdrawnAt) {
      if ((bit & offered) !== 0 && place <= this.#concluded)
        throw new Error(`a gateway can route ${wordOf(bit, agents)}, whose withdrawal was concluded`);
    }
    for (const index of agents.keys()) this.#agent(index, offered, agents);
    this.#looks += 1;
    if (this.#looks % WHOLE_EVERY === 0) this.whole();
  }

  /** Memberships, as a pass has left them. */
  passed(control: SimulatedControl): void {
    isolationKept(control, this.#network().agents, this.#isolation, this.seen);
  }

  /** Everything drawn anew, and the same as what was kept. */
  whole(): void {
    this.seen.wholeLooks += 1;
    wholeLook(this.#network(), this.masks, this.#published);
  }

  /** What an honest gateway may pick is what the agent's own document has: the order makes the two locks agree. */
  #agent(index: number, offered: number, agents: readonly SimulatedAgent[]): void {
    const all = bitsOf(index);
    const sets = this.masks.of(index);
    const here = offered & all;
    if ((here & ~sets.has) !== 0)
      throw new Error(
        `a gateway can route ${wordOf(here & ~sets.has, agents)}, which the agent's document does not have`,
      );
    const stray = this.#published & all & ~sets.has;
    if (stray !== 0)
      throw new Error(`the table has ${wordOf(stray, agents)}, which the agent's document does not have`);
    const served = here & sets.serves;
    if (here !== 0) this.seen.picks += 1;
    if (here !== served) this.seen.refusals += 1;
    if (served === 0) return;
    if (sets.isolating !== 0 && (served & sets.isolating) !== 0 && (served & bitsOf(index, 'global')) !== 0)
      throw new Error(`${wordOf(served & sets.isolating, agents)} is served beside global`);
    if (sets.alone === undefined) return;
    const own = bitsOf(index, sets.alone);
    if ((served & own) !== 0 && (served & ~own) !== 0)
      throw new Error(`${wordOf(served & ~own, agents)} is served beside ${sets.alone} alone`);
  }

  #lease(gateway: SimulatedGateway): void {
    const place = placeOf(gateway.table.epoch, gateway.table.version);
    if (place < this.#concluded)
      throw new Error(`${gateway.id} routes by ${place}, though ${this.#concluded} was concluded`);
  }

  /** A new control says all of its table at once; from then on every version is followed. */
  #watch(control: SimulatedControl | undefined): void {
    if (control === this.#watched || control?.isWired !== true) return;
    this.#watched = control;
    const { table } = control.context;
    this.#follow(control, { version: table.version, set: [...table.rows], delete: [] }, true);
    table.subscribe((delta) => {
      if (control === this.#watched) this.#follow(control, delta);
    });
  }

  #follow(control: SimulatedControl, { version, set, delete: removed }: TableDelta, isWhole = false): void {
    const before = this.#published;
    if (isWhole) this.#published = 0;
    for (const key of removed) if (key.startsWith('member/')) this.#published &= ~this.masks.bitsOfKey(key);
    for (const [key, json] of set) {
      if (!key.startsWith('member/')) continue;
      const { pool, node, models } = JSON.parse(json) as { pool: string; node: string; models: string[] };
      this.#published &= ~this.masks.bitsOfKey(key);
      for (const model of models) this.#published |= this.masks.bit({ node, pool, model });
    }
    if (this.#published === before) return;
    for (let bit = 1; bit < 1 << 18; bit <<= 1) {
      if ((this.#published & bit) !== 0) this.#withdrawnAt.delete(bit);
      else if ((before & bit) !== 0) {
        this.#withdrawnAt.set(bit, placeOf(control.epoch, version));
        this.seen.withdrawals += 1;
      }
    }
  }

  /** A gateway asks for something, whether or not its table has it, and labels it truly. */
  rogue(pool: string, model: string): void {
    for (const agent of this.#network().agents) {
      if (lockHolds(agent, pool, model)) this.seen.rogueAccepted += 1;
    }
  }

  /** A document is about to be handed out. Leave before join: nobody can route what it no longer has. */
  handedOut(control: SimulatedControl, record: NodeRecord): void {
    if (!control.holdsLead) return;
    const { document } = record;
    const { gateways, agents } = this.#network();
    this.#drained(record, agents);
    const before = this.#documents.get(record.id);
    if (document === undefined || (before?.serial === document.serial && before.epoch === document.epoch)) return;
    this.#documents.set(record.id, document);
    this.seen.documents += 1;
    const index = this.masks.indexOf(record.id);
    let has = 0;
    for (const [pool, models] of document.content)
      for (const model of models) has |= this.masks.bit({ node: record.id, pool, model });
    for (const gateway of gateways) {
      const lost = this.masks.offered(gateway) & bitsOf(index) & ~has;
      if (lost !== 0)
        throw new Error(`${gateway.id} can route ${wordOf(lost, agents)} while the document without it is issued`);
    }
    // A renewed document says what the one before said: it gives nothing, and is not what takes anything away.
    const renewed = before !== undefined && before.tableVersion === document.tableVersion;
    // One that was stored by a pass that then failed was right when it was issued, and is followed by another at once.
    if (!renewed && control.isSmooth && document.issuedAtMs === control.clock.nowMs())
      for (const pool of document.content.keys()) isMember(control, record, pool, control.clock.nowMs());
    this.#apart(control, record, document);
  }

  /** Isolation, as one document has it. */
  #apart({ world }: SimulatedControl, record: NodeRecord, document: DocumentRecord): void {
    const { content, terms } = document;
    for (const pool of content.keys()) {
      if (terms.get(pool)?.split(' ')[1] !== 'exclusive') continue;
      this.seen.alone += 1;
      if (content.size > 1)
        throw new Error(`the document of ${record.id} has ${[...content.keys()].join()}, ${pool} alone`);
    }
    // Of a pool that it has left altogether nothing is in flight.
    for (const pool of POOLS) if (!terms.has(pool)) this.#isolation.delete(`${pool}/${record.id}`);
    for (const pool of content.keys())
      this.#isolation.set(`${pool}/${record.id}`, terms.get(pool)?.split(' ')[1] ?? '');
    const isolates = (pool: string): boolean =>
      world.subclouds.get(world.subcloudByName.get(pool) ?? '')?.isolation === 'isolate';
    const isolating = [...terms].flatMap(([pool, text]) =>
      (
        text === 'draining'
          ? isolates(pool) && this.#isolation.get(`${pool}/${record.id}`) === 'isolate'
          : text.split(' ')[1] === 'isolate'
      )
        ? [pool]
        : [],
    );
    // A pool that the node is leaving is in the terms as well: its answers in flight are isolated like those before.
    if (content.has('global') && isolating.length > 0)
      throw new Error(`the document of ${record.id} has global beside ${isolating.join()}`);
  }

  /** What control takes for empty, is: an older word of an earlier membership must not end what is in flight in this one. */
  #drained(record: NodeRecord, agents: readonly SimulatedAgent[]): void {
    const agent = agents.find(({ id }) => id === record.id);
    for (const pool of drainedOf(record)) {
      this.seen.drained += 1;
      if (agent?.inFlightOf(pool) !== 0)
        throw new Error(`control takes ${pool} for drained while ${record.id} has answers in flight there`);
    }
  }
}

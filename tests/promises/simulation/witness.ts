/**
 * Looks at the whole network after every step, as nobody inside it can, and throws at the first thing that must not be.
 * It knows nothing of how the order is kept: only who wants what, who could route what, and who would accept it.
 */
import { desiredOf, drainedOf } from '@subcloud/control/compile/desired';
import type { DocumentRecord, NodeRecord } from '@subcloud/control/world/world';
import type { PrincipalId } from '@subcloud/policy/principal';
import { eligibility, operatorLetsAutoJoin, operatorNames, ownerSaysYes } from '../oracle.ts';
import { saysYes } from '../oracle-memberships.ts';
import type { OracleNode, OracleSubcloud } from '../oracle.ts';
import type { SimulatedAgent } from './agent.ts';
import type { SimulatedControl } from './control.ts';
import type { Offer, SimulatedGateway } from './gateway.ts';

const HELD: ReadonlySet<string> = new Set(['active', 'suspended', 'draining']);
const textOf = ({ node, pool, model }: Offer): string => `${node} in ${pool} for ${model}`;

export interface Network {
  readonly control: SimulatedControl;
  readonly gateways: readonly SimulatedGateway[];
  readonly agents: readonly SimulatedAgent[];
}

export class Witness {
  /** Control has said of this version, and of all below, that nobody routes by less. */
  #concluded = 0;
  /** What memberships wanted and want no more -> the version from which the table does not have it. */
  readonly #withdrawn = new Map<string, number>();
  #wanted = new Set<string>();
  /** The newest that was handed out. */
  readonly #documents = new Map<string, DocumentRecord>();
  /** Ends of leases that a withdrawal announced, and the version that holds from then on. */
  readonly #announced: { readonly version: number; readonly atMs: number }[] = [];
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
  };

  concluded(version: number): void {
    this.#concluded = Math.max(this.#concluded, version);
  }

  announced(version: number, atMs: number): void {
    this.#announced.push({ version, atMs });
  }

  look(network: Network, nowMs: number): void {
    for (const { version, atMs } of this.#announced) if (atMs <= nowMs) this.concluded(version);
    this.#noteWithdrawals(network);
    const offered = new Map<string, Offer>();
    for (const gateway of network.gateways) {
      this.#lease(gateway);
      for (const offer of gateway.offers()) offered.set(textOf(offer), offer);
    }
    const served = new Map<string, Set<string>>();
    for (const [text, offer] of offered) {
      this.#afterWithdrawal(text);
      if (!this.#locksAgree(network, offer)) continue;
      const pools = served.get(offer.node) ?? new Set();
      served.set(offer.node, pools.add(offer.pool));
    }
    this.#publishedTable(network);
    this.#isolation(network, served);
  }

  /** A gateway asks for something, whether or not its table has it, and labels it truly. */
  rogue({ agents }: Network, pool: string, model: string): void {
    for (const agent of agents) {
      const membership = agent.document?.memberships.find((one) => one.pool === pool);
      const accepted = agent.serves(pool, model);
      const listed = membership?.models.includes(model) === true;
      if (accepted) this.seen.rogueAccepted += 1;
      if (accepted !== (listed && this.#operatorPermits(agent, pool)))
        throw new Error(`the lock of ${agent.id} says ${String(accepted)} to ${pool} ${model}`);
    }
  }

  /** Everything was delivered: nothing is left to do. */
  settled({ control, gateways, agents }: Network): void {
    const published = [...control.context.table.rows.keys()].filter((key) => key.startsWith('member/'));
    const wanted = [...control.world.nodes.values()].flatMap((node) =>
      [...desiredOf(control.world, node)].flatMap(([pool, { models, cut }]) =>
        models.length > 0 || cut === true ? [`member/${pool}/${node.id}`] : [],
      ),
    );
    expectSame('table and memberships', published.toSorted(), wanted.toSorted());
    for (const gateway of gateways) {
      if (!gateway.live()) throw new Error(`${gateway.id} has no lease though everything was delivered`);
      expectSame(`versions of ${gateway.id} and control`, [gateway.table.version], [control.context.table.version]);
      expectSame(
        `offers of ${gateway.id} and memberships`,
        gateway.offers().map(textOf).toSorted(),
        [...this.#wanted].toSorted(),
      );
    }
    for (const agent of agents) {
      const node = control.world.nodes.get(agent.id);
      expectSame(`document of ${agent.id}`, [agent.position.serial], [node?.document?.serial ?? 0]);
      const states = [...(node?.memberships.values() ?? [])].map(({ state }) => state);
      if (states.includes('draining')) throw new Error(`${agent.id} is draining though it has nothing in flight`);
      expectSame(`consent of ${agent.id}`, [node?.consent], [agent.settings.consent]);
      for (const pool of agent.document?.memberships ?? []) {
        if (pool.models.every((model) => agent.serves(pool.pool, model) && agent.settings.models.includes(model)))
          continue;
        throw new Error(`${agent.id} is in ${pool.pool} with what it does not serve there, though all was delivered`);
      }
    }
  }

  #noteWithdrawals({ control }: Network): void {
    const wanted = new Set(
      [...control.world.nodes.values()].flatMap((node) =>
        [...desiredOf(control.world, node)].flatMap(([pool, { models }]) =>
          models.map((model) => textOf({ node: node.id, pool, model })),
        ),
      ),
    );
    for (const pair of wanted) this.#withdrawn.delete(pair);
    for (const pair of this.#wanted) {
      if (wanted.has(pair)) continue;
      this.#withdrawn.set(pair, control.context.table.version);
      this.seen.withdrawals += 1;
    }
    this.#wanted = wanted;
  }

  /** A document is about to be handed out. Leave before join: nobody can route what it no longer has. */
  handedOut(record: NodeRecord, { control, gateways, agents }: Network, nowMs: number): void {
    const { document } = record;
    this.#drained(record, agents);
    if (document === undefined || this.#documents.get(record.id)?.serial === document.serial) return;
    const before = this.#documents.get(record.id);
    this.#documents.set(record.id, document);
    this.seen.documents += 1;
    for (const gateway of gateways) {
      for (const offer of gateway.offers()) {
        if (offer.node !== record.id || document.content.get(offer.pool)?.includes(offer.model) === true) continue;
        throw new Error(`${gateway.id} can route ${textOf(offer)} while the document without it is issued`);
      }
    }
    // A renewed document says what the one before said: it gives nothing, and is not what takes anything away.
    const renewed = before !== undefined && before.tableVersion === document.tableVersion;
    for (const pool of renewed ? [] : document.content.keys()) this.#isMember(control, record, pool, nowMs);
    for (const pool of document.content.keys()) {
      if (document.terms.get(pool)?.split(' ')[1] !== 'exclusive') continue;
      this.seen.alone += 1;
      if (document.content.size > 1)
        throw new Error(`the document of ${record.id} has ${[...document.content.keys()].join()}, ${pool} alone`);
    }
    const isolating = [...document.terms].flatMap(([pool, terms]) =>
      terms === 'draining' ? (isolates(control, pool) ? [pool] : []) : terms.split(' ')[1] === 'isolate' ? [pool] : [],
    );
    // A pool that the node is leaving is in the terms as well: its answers in flight are isolated like those before.
    if (document.content.has('global') && isolating.length > 0)
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

  /** What is signed is signed for an active, eligible and consenting member, by rules that are not control's. */
  #isMember(control: SimulatedControl, record: NodeRecord, pool: string, nowMs: number): void {
    const subcloud = control.world.subclouds.get(control.world.subcloudByName.get(pool) ?? '');
    const membership = record.memberships.get(subcloud?.id ?? '');
    const node = oracleNode(control, record);
    if (subcloud === undefined || membership?.state !== 'active' || node === undefined)
      throw new Error(`a document of ${record.id} has ${pool}, where it is no active member`);
    const rules = oracleSubcloud(control, subcloud.id);
    const agreed =
      rules === undefined
        ? node.consent.global
        : saysYes(node, rules, membership.assigned) && ownerSaysYes(rules, membership.assigned);
    const eligible = eligibility(rules?.spec ?? { models: {}, nodes: {} }, node.facts, nowMs, rules?.owner).eligible;
    if (!agreed || !eligible) throw new Error(`a document of ${record.id} has ${pool}, against the rules`);
  }

  #lease(gateway: SimulatedGateway): void {
    if (gateway.live() && gateway.table.version < this.#concluded)
      throw new Error(`${gateway.id} routes by ${gateway.table.version}, though ${this.#concluded} was concluded`);
  }

  #afterWithdrawal(offer: string): void {
    const version = this.#withdrawn.get(offer);
    if (version !== undefined && version <= this.#concluded)
      throw new Error(`a gateway can route ${offer}, whose withdrawal in ${version} was concluded`);
  }

  /**
   * What an honest gateway may pick is what the agent's own document has: the order makes the two locks agree. Returns
   * whether the agent would serve it, which its operator may have forbidden a moment ago.
   */
  #locksAgree({ agents }: Network, offer: Offer): boolean {
    const agent = agents.find(({ id }) => id === offer.node);
    if (agent?.inDocument(offer.pool, offer.model) !== true)
      throw new Error(`a gateway can route ${textOf(offer)}, which the agent's document does not have`);
    const serves = agent.serves(offer.pool, offer.model);
    this.seen.picks += 1;
    if (!serves) this.seen.refusals += 1;
    return serves;
  }

  #publishedTable({ control, agents }: Network): void {
    if (!control.ready) return;
    for (const [key, json] of control.context.table.rows) {
      if (!key.startsWith('member/')) continue;
      const { pool, node, models } = JSON.parse(json) as { pool: string; node: string; models: string[] };
      const agent = agents.find(({ id }) => id === node);
      for (const model of models) {
        if (agent?.inDocument(pool, model) === true) continue;
        throw new Error(`the table has ${textOf({ node, pool, model })}, which the agent's document does not have`);
      }
    }
  }

  #isolation({ control, agents }: Network, served: ReadonlyMap<string, ReadonlySet<string>>): void {
    for (const agent of agents) {
      const memberships = control.world.nodes.get(agent.id)?.memberships;
      const pools = served.get(agent.id);
      for (const subcloud of control.world.subclouds.values()) {
        const state = memberships?.get(subcloud.id)?.state;
        if (subcloud.isolation === 'exclusive' && state === 'active') {
          const others = [...(memberships ?? [])].filter(
            ([id, { state: other }]) => id !== subcloud.id && HELD.has(other),
          );
          if (others.length > 0)
            throw new Error(`${agent.id} is in ${String(others[0]?.[0])} beside ${subcloud.name} alone`);
          const terms = agent.document?.memberships.find(({ pool }) => pool === subcloud.name);
          if (terms?.isolation === 'exclusive' && (pools?.size ?? 0) > 1 && pools?.has(subcloud.name) === true)
            throw new Error(`${agent.id} serves ${[...pools].join()}, and is for ${subcloud.name} alone`);
        }
        if (subcloud.isolation !== 'isolate' || !HELD.has(state ?? 'left')) continue;
        this.seen.held += 1;
        if (state === 'draining') this.seen.draining += 1;
        // Who finishes its last answers there, on the way to an exclusive Subcloud, serves nothing there any more.
        if ((memberships?.get('global')?.state ?? 'draining') !== 'draining')
          throw new Error(`${agent.id} is in the global network, held by ${subcloud.name}`);
        // A revision that isolates what was shared takes effect by the same order; until then it is shared.
        const terms = agent.document?.memberships.find(({ pool }) => pool === subcloud.name);
        if (terms?.isolation === 'isolate' && pools?.has('global') === true && pools.has(subcloud.name))
          throw new Error(`${agent.id} serves global and ${subcloud.name} at once`);
      }
    }
  }

  #operatorPermits(agent: SimulatedAgent, pool: string): boolean {
    const { consent } = agent.settings;
    if (pool === 'global') return consent.global;
    const terms = agent.document?.memberships.find((one) => one.pool === pool);
    if (terms === undefined || terms.owner === null) return false;
    const rules: OracleSubcloud = {
      id: '',
      name: pool,
      owner: terms.owner,
      spec: {
        models: {},
        nodes: {},
        participation: { mode: 'open', autoJoin: true, cooldown: '0s' },
        isolation: terms.isolation,
      },
    };
    const facts = { nodeId: agent.id, operator: agent.operator, claims: [], lastSeenAt: null };
    const node = { consent, facts };
    if (consent.leave?.includes(pool) === true) return false;
    return agent.operator === terms.owner || operatorNames(node, rules) || operatorLetsAutoJoin(node, rules);
  }
}

function isolates({ world }: SimulatedControl, pool: string): boolean {
  return world.subclouds.get(world.subcloudByName.get(pool) ?? '')?.isolation === 'isolate';
}

function oracleNode({ world }: SimulatedControl, record: NodeRecord): OracleNode | undefined {
  if (record.consent === null) return undefined;
  const linked = (world.links.get(record.id)?.length ?? 0) > 0;
  const lastSeenAt = linked ? null : (record.lastSeenAtMs ?? record.enrolledAtMs);
  const { id: nodeId, operator, claims, confirmedAtMs: confirmedAt } = record;
  return { consent: record.consent, facts: { nodeId, operator, claims, lastSeenAt, confirmedAt } };
}

function oracleSubcloud({ world }: SimulatedControl, id: string): OracleSubcloud | undefined {
  const record = world.subclouds.get(id);
  if (record?.manifest === null || record === undefined || record.owner === null) return undefined;
  return { id, name: record.name, owner: record.owner satisfies PrincipalId, spec: record.manifest.spec };
}

function expectSame(what: string, is: readonly unknown[], should: readonly unknown[]): void {
  if (JSON.stringify(is) !== JSON.stringify(should))
    throw new Error(
      `${what} differ after everything was delivered: ${JSON.stringify(is)} and ${JSON.stringify(should)}`,
    );
}

/**
 * What gateways offer, agents accept and control publishes, as sets of (node, pool, model) in one number each: small
 * enough to be compared after every single event. A set is drawn anew only when that changed which it is drawn from.
 */
import type { NodeDocument } from '@subcloud/contract/documents';
import type { RoutingTable } from '@subcloud/gateway/table/routing-table';
import type { SimulatedAgent } from './agent.ts';
import { MODELS, NAMES } from './choices.ts';
import type { Offer, SimulatedGateway } from './gateway.ts';

export const POOLS = ['global', ...NAMES];
const PER_NODE = POOLS.length * MODELS.length;

/** The bit of one; 0 where it is none of those that there can be. */
export function bitOf(agent: number, pool: string, model: string): number {
  const [p, m] = [POOLS.indexOf(pool), MODELS.indexOf(model)];
  return agent < 0 || p < 0 || m < 0 ? 0 : 1 << (agent * PER_NODE + p * MODELS.length + m);
}

/** All bits of an agent, or those of one of its pools. */
export function bitsOf(agent: number, pool?: string): number {
  let bits = 0;
  for (const each of pool === undefined ? POOLS : [pool]) for (const model of MODELS) bits |= bitOf(agent, each, model);
  return bits;
}

/** The first of a set, in words. */
export function wordOf(bits: number, agents: readonly SimulatedAgent[]): string {
  for (const [index, { id: node }] of agents.entries())
    for (const pool of POOLS)
      for (const model of MODELS) if ((bits & bitOf(index, pool, model)) !== 0) return textOf({ node, pool, model });
  return 'nothing';
}

export const textOf = ({ node, pool, model }: Offer): string => `${node} in ${pool} for ${model}`;

interface Offered {
  readonly table: RoutingTable;
  /** For any time from here to there, ms. */
  readonly fromMs: number;
  readonly untilMs: number;
  readonly bits: number;
}

export interface AgentSets {
  readonly document: NodeDocument | undefined;
  readonly settings: object;
  /** What its newest document has, even where its wall clock says that it has expired; and what its lock lets through. */
  readonly has: number;
  readonly serves: number;
  /** The pool that the document has alone, if it has one so; and those that it isolates. */
  readonly alone: string | undefined;
  readonly isolating: number;
}

export class Masks {
  readonly agents: readonly SimulatedAgent[];
  readonly #index: ReadonlyMap<string, number>;
  readonly #offered = new Map<SimulatedGateway, Offered>();
  readonly #sets: AgentSets[] = [];

  constructor(agents: readonly SimulatedAgent[]) {
    this.agents = agents;
    this.#index = new Map(agents.map(({ id }, index) => [id, index]));
  }

  indexOf(node: string): number {
    return this.#index.get(node) ?? -1;
  }

  bit({ node, pool, model }: Offer): number {
    return bitOf(this.indexOf(node), pool, model);
  }

  /** Of `member/POOL/NODE`. */
  bitsOfKey(key: string): number {
    const [, pool = '', node = ''] = key.split('/');
    return bitsOf(this.indexOf(node), pool);
  }

  /** What a gateway could pick now. */
  offered(gateway: SimulatedGateway): number {
    if (!gateway.live()) return 0;
    const nowMs = gateway.controlNowMs;
    const known = this.#offered.get(gateway);
    if (known?.table === gateway.table && nowMs >= known.fromMs && nowMs < known.untilMs) return known.bits;
    const bits = gateway.offers().reduce((all, offer) => all | this.bit(offer), 0);
    const ends = gateway.rows().flatMap(({ validUntil }) => ((validUntil ?? 0) > nowMs ? [validUntil ?? 0] : []));
    this.#offered.set(gateway, { table: gateway.table, fromMs: nowMs, untilMs: Math.min(...ends, Infinity), bits });
    return bits;
  }

  of(index: number): AgentSets {
    const agent = this.agents[index];
    if (agent === undefined) throw new Error('there is no such agent');
    const document = agent.inForce();
    const known = this.#sets[index];
    if (known !== undefined && known.document === document && known.settings === agent.settings) return known;
    return (this.#sets[index] = setsOf(agent, index, document));
  }
}

/** Asks the real lock about everything that there is. */
export function setsOf(agent: SimulatedAgent, index: number, document: NodeDocument | undefined): AgentSets {
  let [has, serves, isolating] = [0, 0, 0];
  for (const pool of POOLS)
    for (const model of MODELS) {
      if (agent.serves(pool, model)) serves |= bitOf(index, pool, model);
    }
  for (const { pool, models } of agent.document?.memberships ?? [])
    for (const model of models) has |= bitOf(index, pool, model);
  const memberships = document?.memberships ?? [];
  for (const { pool, isolation } of memberships) if (isolation === 'isolate') isolating |= bitsOf(index, pool);
  const alone = memberships.find(({ isolation }) => isolation === 'exclusive')?.pool;
  return { document, settings: agent.settings, has, serves, alone, isolating };
}

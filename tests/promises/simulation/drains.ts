/**
 * Nodes that operators take out of service, by the real handlers, and what their answers promise. What is known here is what an
 * operator knows: what was asked and answered, and nothing of how control and gateways keep it.
 */
import { drainHandlers, drainOf } from '@subcloud/control/api/handlers/drains';
import type { SimulatedAgent } from './agent.ts';
import type { SimulatedControl } from './control.ts';
import type { SimulatedGateway } from './gateway.ts';
import { type Masks, bitsOf, wordOf } from './masks.ts';
import { admin, api } from './owner.ts';
import type { Simulation } from './simulation.ts';
import { type Witness, placeOf } from './witness.ts';

export class Drains {
  /** By node, the place from which on it is out by what was answered. */
  readonly #from = new Map<string, number>();
  /** By node, how often somebody asked to put it back: an answer to what was asked before that is old. */
  readonly #undrains = new Map<string, number>();

  forget(): void {
    for (const node of this.#from.keys()) this.undrainAsked(node);
  }

  undrainAsked(node: string): void {
    this.#undrains.set(node, this.asked(node) + 1);
    this.#from.delete(node);
  }

  asked(node: string): number {
    return this.#undrains.get(node) ?? 0;
  }

  answered(node: string, place: number, askedAt: number): void {
    if (this.asked(node) === askedAt) this.#from.set(node, Math.min(place, this.#from.get(node) ?? place));
  }

  /** Throws where the gateway could pick a node that is out by its table. Returns how many were looked at. */
  check(gateway: SimulatedGateway, offered: number, masks: Masks): number {
    const { epoch, version } = gateway.table;
    let looked = 0;
    for (const [node, from] of this.#from) {
      if (placeOf(epoch, version) < from) continue;
      looked += 1;
      const here = offered & bitsOf(masks.indexOf(node));
      if (here !== 0)
        throw new Error(`${gateway.id} can route ${wordOf(here, masks.agents)} at ${version}, which is out of service`);
    }
    return looked;
  }
}

export function operatorDrains({ agents, chance, witness }: Simulation, control: SimulatedControl, id: string): void {
  const { drains } = witness;
  switch (chance.weighted({ drain: 4, undrain: 2, ask: 4 })) {
    case 'drain': {
      const askedAt = drains.asked(id);
      Promise.resolve(drainHandlers.drainNode(api(control), { params: { id }, body: {} }, admin('node.drain'))).then(
        ({ withdrawal: { tableVersion } }) => {
          // Of a control that died meanwhile nobody hears an answer.
          if (control.ready) drains.answered(id, placeOf(control.epoch, tableVersion), askedAt);
        },
        () => undefined,
      );
      break;
    }
    case 'undrain':
      drains.undrainAsked(id);
      Promise.resolve(drainHandlers.undrainNode(api(control), { params: { id } }, admin('node.undrain'))).catch(
        () => undefined,
      );
      break;
    case 'ask':
      for (const agent of agents) asks(control, agent, witness);
      break;
  }
}

function asks(control: SimulatedControl, { id, inFlight }: SimulatedAgent, { seen }: Witness): void {
  const record = control.world.nodes.get(id);
  // Who is silent for ten minutes is not waited for longer: then what it has in flight is not known.
  if (record === undefined || control.world.unheard.size > 0) return;
  if (drainOf(api(control), record)?.state !== 'drained') return;
  seen.saidDrained += 1;
  if (inFlight > 0) throw new Error(`${id} is said to be drained, with answers in flight`);
}

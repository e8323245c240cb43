/** Faults that are put in on purpose, one at a time, each where the product keeps a promise: the simulation must find every one. */
import type { Simulation } from './simulation.ts';

export const PLANTED = {
  'the store takes what an old leader writes, and that leader goes on': ({ store, replicas }: Simulation) => {
    store.isFencing = false;
    for (const replica of replicas) replica.neverEnds = true;
  },
  'a restore goes on in the epoch of the backup': (network: Simulation) => {
    network.restores.raisesEpoch = false;
  },
  'control begins without the leases that were given before it': ({ store }: Simulation) => {
    store.forgets = 'gateway_leases';
  },
  'a document is issued before gateways have acknowledged what it takes away': ({ replicas }: Simulation) => {
    for (const replica of replicas) replica.concludesAtOnce = true;
  },
  'a gateway routes on after its lease': ({ gateways }: Simulation) => {
    for (const gateway of gateways) gateway.neverStops = true;
  },
  'a gateway picks nodes that are out of service': ({ gateways }: Simulation) => {
    for (const gateway of gateways) gateway.ignoresDrains = true;
  },
  'an agent takes whatever document comes': ({ agents }: Simulation) => {
    for (const agent of agents) agent.forgetsEpochs = true;
  },
} as const satisfies Readonly<Record<string, (network: Simulation) => void>>;

export type Planted = keyof typeof PLANTED;

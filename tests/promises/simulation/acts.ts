/** What people do, and what goes wrong: drawn one after the other. */
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import { WATCH_ACK_MS } from '@subcloud/contract/watch';
import type { SimulatedAgent } from './agent.ts';
import { anySettings } from './choices.ts';
import { ADDRESSES } from './control.ts';
import type { SimulatedGateway } from './gateway.ts';
import { operatorDrains } from './drains.ts';
import { ownerActs } from './owner.ts';
import type { Replica } from './replica.ts';
import { type Simulation, flush } from './simulation.ts';

/** An operator takes a node out of service, puts it back, or asks how far it is. */
async function drain(network: Simulation, agent: SimulatedAgent): Promise<void> {
  const { control } = network;
  if (control?.ready === true) operatorDrains(network, control, agent.id);
  await flush();
}

/** By how much a wall clock is off, ms: that of control little, that of anybody else much. */
const CONTROL_OFF_MS = [-10_000, -1_000, 0, 0, 1_000, 10_000];
const OFF_MS = [-86_400_000, -60_000, 0, 0, 60_000, 86_400_000];

export async function act(network: Simulation): Promise<void> {
  const { chance, traffic } = network;
  const gateway = chance.of(network.gateways);
  const agent = chance.of(network.agents);
  const replica = chance.of(network.replicas);
  if (gateway === undefined || agent === undefined || replica === undefined) return;
  const what = chance.weighted({
    deliver: 55,
    time: 14,
    calm: 6,
    link: 5,
    operator: 6,
    owner: 5,
    drain: 3,
    request: 8,
    fault: 8,
    store: 4,
    restart: 3,
    replica: 2.5,
  });
  network.note(`${what} ${gateway.id} ${agent.id}`);
  switch (what) {
    case 'deliver':
      for (let count = 1 + chance.below(6); count > 0; count -= 1) if (await traffic.deliverOne()) network.event();
      return;
    case 'time':
      return network.advance(
        chance.weighted({ 1: 5, 20: 30, 300: 30, 2_000: 20, 12_000: 6, 61_000: 1.5, 600_001: 0.5 }),
      );
    case 'calm':
      return network.calm(chance.of([100, 1_000, 5_000]) ?? 0);
    case 'link':
      if (chance.happens(0.8)) gateway.link(agent);
      else gateway.unlink(agent.id);
      return;
    case 'operator':
      return operatorActs(network, agent);
    case 'owner':
      return owner(network, agent);
    case 'drain':
      return drain(network, agent);
    case 'request':
      return request(network, gateway, agent);
    case 'fault':
      return fault(network, gateway);
    case 'store':
      await traffic.letStoreGoOn(chance.happens(0.3));
      return;
    case 'restart':
      return restart(network, gateway, agent);
    case 'replica':
      return replicaFault(network, replica);
  }
}

/** A caller's request reaches the node, or an answer of it ends. */
function request({ chance }: Simulation, gateway: SimulatedGateway, agent: SimulatedAgent): void {
  if (chance.happens(0.5)) {
    agent.finish(chance);
    return;
  }
  if (!gateway.links.has(agent.id)) return;
  const offer = chance.of(gateway.offers().filter(({ node }) => node === agent.id));
  if (offer !== undefined && agent.serves(offer.pool, offer.model)) agent.begin(gateway.id, offer.pool);
}

function fault({ chance, traffic, clocks, replicas }: Simulation, gateway: SimulatedGateway): void {
  switch (chance.weighted({ lose: 4, breakWatch: 2, reopen: 3, cut: 2, acknowledge: 3, clock: 1 })) {
    case 'lose':
      return traffic.lose();
    case 'breakWatch':
      gateway.watch = undefined;
      return;
    case 'reopen':
      return traffic.openWatch(gateway);
    case 'cut':
      return traffic.cut(gateway, chance.of([500, 6_000, 30_000, 80_000]) ?? 0);
    case 'acknowledge':
      return traffic.sendAcknowledgement(gateway);
    case 'clock':
      if (chance.happens(0.5)) chance.of(clocks)?.set(chance.of(OFF_MS) ?? 0);
      else chance.of(replicas)?.clock.set(chance.of(CONTROL_OFF_MS) ?? 0);
      return;
  }
}

async function restart(network: Simulation, gateway: SimulatedGateway, agent: SimulatedAgent): Promise<void> {
  const { chance, gateways, control } = network;
  const what = chance.weighted({ gateway: 3, agent: 3, control: 2, comeback: 1, backup: 1.5, restore: 1 });
  network.note(`  restart ${what}`);
  switch (what) {
    case 'gateway':
      gateway.restart();
      return;
    case 'agent':
      agent.restart();
      for (const each of gateways) each.unlink(agent.id);
      return;
    case 'control':
      restartReplica(network, network.replicas.find((one) => one.control === control) ?? network.replicas[0]);
      await flush();
      return;
    case 'comeback':
      return comeBack(network, gateway, agent);
    case 'backup':
      return network.restores.backup(network);
    case 'restore':
      return network.restores.restore(network);
  }
}

export function restartReplica({ traffic }: Simulation, replica: Replica | undefined): void {
  const { control } = replica ?? {};
  replica?.restart();
  traffic.loseAllOf(control);
}

function replicaFault(network: Simulation, replica: Replica): void {
  const { chance } = network;
  const what = chance.weighted({ stop: 3, goOn: 4, blind: 2, sees: 3, kill: 1 });
  network.note(`  ${replica.name} ${what}`);
  switch (what) {
    case 'stop':
      return replica.stop();
    case 'goOn':
      return replica.goOn();
    case 'blind':
      replica.isBlind = true;
      return;
    case 'sees':
      replica.isBlind = false;
      return;
    case 'kill':
      return restartReplica(network, replica);
  }
}

/** A gateway is cut off for longer than its lease, control concludes without it and restarts, and the gateway is back. */
async function comeBack(network: Simulation, gateway: SimulatedGateway, agent: SimulatedAgent): Promise<void> {
  const { traffic, control, replicas } = network;
  traffic.cut(gateway, 2 * TABLE_LEASE_MS);
  operatorActs(network, agent);
  await network.calm(TABLE_LEASE_MS + WATCH_ACK_MS);
  restartReplica(
    network,
    replicas.find((one) => one.control === control),
  );
  await network.advance(2_000);
  traffic.reconnect(gateway);
  traffic.sendAcknowledgement(gateway);
  await traffic.deliverAllOf(gateway);
}

function operatorActs({ chance, gateways }: Simulation, agent: SimulatedAgent): void {
  const { settings } = agent;
  switch (chance.weighted({ all: 1, consent: 4, models: 2, move: 2 })) {
    case 'all':
      agent.settings = anySettings(chance);
      break;
    case 'consent':
      agent.settings = { ...settings, consent: anySettings(chance).consent };
      break;
    case 'models':
      agent.settings = { ...settings, models: anySettings(chance).models };
      break;
    case 'move':
      // From another address it dials anew.
      agent.address = chance.of(ADDRESSES) ?? '';
      for (const gateway of gateways) gateway.unlink(agent.id);
      return;
  }
  for (const gateway of gateways)
    gateway.links.get(agent.id)?.up.push({ type: 'declaration', document: agent.declaration() });
}

async function owner(network: Simulation, agent: SimulatedAgent): Promise<void> {
  const { control, chance, clock, witness } = network;
  if (control?.ready !== true) return;
  ownerActs(control, agent.id, chance, ({ complete, tableVersion, outstanding }) => {
    // Of a control that died meanwhile nobody hears an answer.
    if (!control.ready) return;
    const ends = outstanding.map(({ leaseEndsAt }) => Date.parse(leaseEndsAt) - control.clock.offsetMs);
    witness.announced(control, tableVersion, complete ? undefined : Math.max(clock.nowMs(), ...ends));
  });
  await flush();
}

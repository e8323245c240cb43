/** What is under way between gateways, agents and control, in no order, and what becomes of it. */
import type { AcknowledgeResponse, ReportsRequest } from '@subcloud/contract/watch';
import type { SimulatedControl } from './control.ts';
import type { SentAcknowledgement, SimulatedGateway } from './gateway.ts';
import { type Simulation, flush } from './simulation.ts';

interface Call {
  readonly gateway: SimulatedGateway;
  readonly control: SimulatedControl;
  readonly what:
    | { readonly kind: 'acknowledge'; readonly sent: SentAcknowledgement }
    | { readonly kind: 'report'; readonly request: ReportsRequest };
}

export class Traffic {
  readonly #network: Simulation;
  #calls: Call[] = [];
  /** Those that have arrived, and whose answer control still owes. */
  readonly #owed = new Set<Call>();
  /** Answers under way back. */
  #answers: { readonly gateway: SimulatedGateway; readonly come: (arrives: boolean) => void }[] = [];
  /** Gateways of which nothing arrives and to which nothing comes, until then; true time, ms. */
  readonly #cutUntilMs = new Map<string, number>();

  constructor(network: Simulation) {
    this.#network = network;
  }

  cut(gateway: SimulatedGateway, forMs: number): void {
    this.#cutUntilMs.set(gateway.id, this.#network.clock.monotonicMs() + forMs);
  }

  /** Of one gateway, or of all. */
  reconnect(gateway?: SimulatedGateway): void {
    if (gateway === undefined) this.#cutUntilMs.clear();
    else this.#cutUntilMs.delete(gateway.id);
  }

  isCut({ id }: SimulatedGateway): boolean {
    return (this.#cutUntilMs.get(id) ?? 0) > this.#network.clock.monotonicMs();
  }

  /** As on a good day: who has no watch opens one, and agents dial. */
  connect(): void {
    const { gateways, agents, chance } = this.#network;
    for (const gateway of gateways) {
      if (this.isCut(gateway)) continue;
      if (gateway.watch === undefined || gateway.control?.ready !== true) this.openWatch(gateway);
      for (const agent of agents) if (chance.happens(0.1)) gateway.link(agent);
    }
  }

  /** At whichever replica answers. */
  openWatch(gateway: SimulatedGateway): void {
    const { replicas, chance } = this.#network;
    const control = chance.of(replicas.flatMap(({ control: one }) => (one?.ready === true ? [one] : [])));
    if (control === undefined || this.isCut(gateway)) return;
    const lines: string[] = [];
    gateway.watchOpened(lines, control);
    control.openWatch(
      gateway.id,
      (line) => lines.push(line),
      () => {
        if (gateway.watch === lines) gateway.watch = undefined;
      },
    );
  }

  sendAcknowledgement(gateway: SimulatedGateway): void {
    const { control } = gateway;
    const sent = gateway.acknowledgement();
    if (sent !== undefined && control !== undefined)
      this.#calls.push({ gateway, control, what: { kind: 'acknowledge', sent } });
  }

  /** Something that is under way is lost. */
  lose(): void {
    const { chance } = this.#network;
    const call = this.#calls.splice(chance.below(Math.max(1, this.#calls.length)), 1)[0];
    if (call !== undefined) this.#refused(call);
    if (chance.happens(0.5)) this.#answers.splice(chance.below(this.#answers.length + 1), 1)[0]?.come(false);
  }

  /** What was under way to a process that is gone, and from it. */
  loseAllOf(control: SimulatedControl | undefined): void {
    for (const call of this.#calls) if (call.control === control) this.#refused(call);
    this.#calls = this.#calls.filter((call) => call.control !== control);
    for (const call of this.#owed) if (call.control === control) this.#refused(call);
    for (const gateway of this.#network.gateways) if (gateway.control === control) gateway.watch = undefined;
  }

  /** All that one gateway has under way arrives, and all answers do. */
  async deliverAllOf(gateway: SimulatedGateway): Promise<void> {
    for (let call = this.#callOf(gateway); call !== undefined; call = this.#callOf(gateway)) await this.#arrive(call);
    while (this.#answers.length > 0) this.#answers.shift()?.come(true);
  }

  /** Something that is under way arrives. False: nothing is. */
  async deliverOne(): Promise<boolean> {
    const { gateways, chance } = this.#network;
    const ways = gateways.length + 4;
    const first = chance.below(ways);
    for (let step = 0; step < ways; step += 1) {
      const way = (first + step) % ways;
      const gateway = gateways[way];
      if (gateway !== undefined) {
        if (this.#deliverOnLink(gateway) || this.#deliverLine(gateway)) return true;
      } else if (way === gateways.length) {
        const answer = this.#answers.splice(chance.below(this.#answers.length), 1)[0];
        answer?.come(true);
        if (answer !== undefined) return true;
      } else if (way === gateways.length + 1) {
        if (await this.letStoreGoOn(false)) return true;
      } else if (await this.#deliverCall()) return true;
    }
    return false;
  }

  /** An operation of the store that hangs comes to its end, of a process that runs. */
  async letStoreGoOn(fails: boolean): Promise<boolean> {
    const { store, replicas } = this.#network;
    const isStopped = (client: string): boolean =>
      replicas.some(({ isStopped: stopped, control }) => stopped && control?.client === client);
    if (!store.letGo(fails, isStopped)) return false;
    await flush();
    return true;
  }

  readLine(gateway: SimulatedGateway): void {
    if (gateway.readLine() && this.#network.chance.happens(0.9)) this.sendAcknowledgement(gateway);
  }

  #callOf(gateway: SimulatedGateway): Call | undefined {
    return this.#calls.find((call) => call.gateway === gateway);
  }

  #deliverLine(gateway: SimulatedGateway): boolean {
    if (this.isCut(gateway) || (gateway.watch?.length ?? 0) === 0) return false;
    this.readLine(gateway);
    return true;
  }

  #deliverOnLink(gateway: SimulatedGateway): boolean {
    const { chance } = this.#network;
    const busy = [];
    for (const link of gateway.links.values()) if (link.up.length + link.down.length > 0) busy.push(link);
    const link = chance.of(busy);
    if (link === undefined) return false;
    if (link.down.length > 0 && (link.up.length === 0 || chance.happens(0.5))) gateway.deliverDown(link);
    else gateway.deliverUp(link);
    return true;
  }

  async #deliverCall(): Promise<boolean> {
    const { gateways, chance } = this.#network;
    for (const gateway of gateways) this.#sendReport(gateway);
    const call = chance.of(this.#calls.filter(({ gateway }) => !this.isCut(gateway)));
    if (call === undefined) return false;
    await this.#arrive(call);
    return true;
  }

  #sendReport(gateway: SimulatedGateway): void {
    const { control } = gateway;
    const request = control?.ready === true ? gateway.nextReport() : undefined;
    if (request !== undefined && control !== undefined)
      this.#calls.push({ gateway, control, what: { kind: 'report', request } });
  }

  /** The answer may be lost though the call has arrived: the gateway says all of it again. */
  async #arrive(call: Call): Promise<void> {
    const { gateway, control, what } = call;
    this.#calls.splice(this.#calls.indexOf(call), 1);
    this.#owed.add(call);
    const refuse = (): void => {
      if (this.#owed.has(call)) this.#refused(call);
    };
    const answer = (come: (arrives: boolean) => void): void => {
      if (this.#owed.delete(call)) this.#answers.push({ gateway, come });
    };
    if (what.kind === 'acknowledge') {
      const answered = (said: AcknowledgeResponse): void =>
        answer((arrives) => arrives && gateway.acknowledged(what.sent, said));
      control.acknowledge(what.sent.request).then(answered, refuse);
    } else {
      control.report(what.request).then(() => answer((arrives) => gateway.reported(what.request, arrives)), refuse);
    }
    await flush();
  }

  #refused(call: Call): void {
    const { gateway, what } = call;
    this.#owed.delete(call);
    if (what.kind === 'report') gateway.reported(what.request, false);
  }
}

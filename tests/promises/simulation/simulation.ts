/**
 * A network of one control, several gateways and several agents, in which everything that may go wrong between them does:
 * messages come late, in another order or never, processes restart, leases run out, operators and owners change their
 * minds meanwhile. One seed is one run. After every step the witness looks at all of it.
 */
import { HEARTBEAT_MS } from '@subcloud/contract/link';
import { TABLE_LEASE_MS } from '@subcloud/contract/table';
import { type AcknowledgeResponse, type ReportsRequest, WATCH_ACK_MS } from '@subcloud/contract/watch';
import type { World } from '@subcloud/control/world/world';
import { type VirtualClock, virtualClock } from '@subcloud/testkit/virtual-clock';
import { SimulatedAgent } from './agent.ts';
import { type Chance, createChance } from './chance.ts';
import { MODELS, NAMES, OPERATORS, anySettings } from './choices.ts';
import { ADDRESSES, SimulatedControl } from './control.ts';
import { type SentAcknowledgement, SimulatedGateway } from './gateway.ts';
import { ownerActs } from './owner.ts';
import { firstWorld } from './store.ts';
import { type Network, Witness } from './witness.ts';

type Call =
  | { readonly kind: 'acknowledge'; readonly gateway: SimulatedGateway; readonly sent: SentAcknowledgement }
  | { readonly kind: 'report'; readonly gateway: SimulatedGateway; readonly request: ReportsRequest };

export class Simulation {
  readonly witness = new Witness();
  readonly #chance: Chance;
  readonly #clock: VirtualClock = virtualClock();
  readonly #granted = new Map<string, number>();
  readonly #gateways: readonly SimulatedGateway[];
  readonly #agents: readonly SimulatedAgent[];
  #control: SimulatedControl;
  /** Under way to control, and answers under way back. In no order. */
  #calls: Call[] = [];
  #answers: ((arrives: boolean) => void)[] = [];
  /** Gateways of which nothing arrives and to which nothing comes, until then. */
  readonly #cutUntilMs = new Map<string, number>();
  /** What the witness found in the middle of a step. */
  #found: unknown;

  constructor(seed: number) {
    this.#chance = createChance(seed);
    this.#gateways = ['gw_a', 'gw_b', 'gw_c'].map((id) => new SimulatedGateway(id, this.#clock));
    this.#agents = OPERATORS.map(
      (operator, index) =>
        new SimulatedAgent({
          index,
          operator,
          clock: this.#clock,
          settings: anySettings(this.#chance),
          address: ADDRESSES[index % 3] ?? '',
        }),
    );
    for (const agent of this.#agents) {
      agent.onDrained = (drained) => {
        for (const { links } of this.#gateways) links.get(agent.id)?.up.push({ type: 'drained', ...drained });
      };
    }
    this.#control = this.#newControl(firstWorld(this.#agents, this.#clock.nowMs()), 1);
    for (const gateway of this.#gateways) {
      this.#clock.every(WATCH_ACK_MS, () => this.#sendAcknowledgement(gateway));
      this.#clock.every(HEARTBEAT_MS, () => gateway.heartbeat());
    }
  }

  async run(steps: number): Promise<void> {
    await this.#control.start();
    await this.#calm(2_000);
    for (let step = 0; step < steps; step += 1) {
      await this.#step();
      if (this.#found !== undefined) throw this.#found;
      this.witness.look(this.#network(), this.#clock.nowMs());
      const pool = this.#chance.of(['global', ...NAMES, 'none']) ?? '';
      this.witness.rogue(this.#network(), pool, this.#chance.of([...MODELS, 'none']) ?? '');
    }
  }

  /** Nothing goes wrong any more, and all arrives. */
  async settle(): Promise<void> {
    this.#cutUntilMs.clear();
    for (const agent of this.#agents) agent.finishAll();
    await this.#calm(15_000);
    if (this.#found !== undefined) throw this.#found;
    this.witness.look(this.#network(), this.#clock.nowMs());
    this.witness.settled(this.#network());
  }

  #network(): Network {
    return { control: this.#control, gateways: this.#gateways, agents: this.#agents };
  }

  async #step(): Promise<void> {
    const chance = this.#chance;
    const gateway = chance.of(this.#gateways);
    const agent = chance.of(this.#agents);
    if (gateway === undefined || agent === undefined) return;
    switch (
      chance.weighted({
        deliver: 55,
        time: 14,
        calm: 6,
        link: 5,
        operator: 6,
        owner: 5,
        request: 8,
        fault: 8,
        restart: 1.5,
      })
    ) {
      case 'deliver':
        for (let count = 1 + chance.below(6); count > 0; count -= 1) await this.#deliverOne();
        break;
      case 'time':
        await this.#advance(
          chance.weighted({ 1: 5, 20: 30, 300: 30, 2_000: 20, 12_000: 6, 61_000: 1.5, 600_001: 0.5 }),
        );
        break;
      case 'calm':
        await this.#calm(chance.of([100, 1_000, 5_000]) ?? 0);
        break;
      case 'link':
        if (chance.happens(0.8)) gateway.link(agent);
        else gateway.unlink(agent.id);
        break;
      case 'operator':
        this.#operatorActs(agent);
        break;
      case 'owner':
        await this.#ownerActs(agent);
        break;
      case 'request':
        this.#request(gateway, agent);
        break;
      case 'fault':
        this.#fault(gateway);
        break;
      case 'restart':
        await this.#restart(gateway, agent);
        break;
    }
  }

  /** A caller's request reaches the node, or an answer of it ends. */
  #request(gateway: SimulatedGateway, agent: SimulatedAgent): void {
    if (this.#chance.happens(0.5)) {
      agent.finish(this.#chance);
      return;
    }
    if (!gateway.links.has(agent.id)) return;
    const offer = this.#chance.of(gateway.offers().filter(({ node }) => node === agent.id));
    if (offer !== undefined && agent.serves(offer.pool, offer.model)) agent.begin(gateway.id, offer.pool);
  }

  #fault(gateway: SimulatedGateway): void {
    const chance = this.#chance;
    switch (chance.weighted({ lose: 4, breakWatch: 2, reopen: 3, cut: 2, acknowledge: 3 })) {
      case 'lose': {
        const lost = this.#takeCall();
        if (lost?.kind === 'report') lost.gateway.reported(lost.request, false);
        if (chance.happens(0.5)) this.#answers.splice(chance.below(this.#answers.length + 1), 1)[0]?.(false);
        break;
      }
      case 'breakWatch':
        gateway.watch = undefined;
        break;
      case 'reopen':
        this.#openWatch(gateway);
        break;
      case 'cut':
        this.#cutUntilMs.set(gateway.id, this.#clock.monotonicMs() + (chance.of([500, 6_000, 30_000, 80_000]) ?? 0));
        break;
      case 'acknowledge':
        this.#sendAcknowledgement(gateway);
        break;
    }
  }

  async #restart(gateway: SimulatedGateway, agent: SimulatedAgent): Promise<void> {
    switch (this.#chance.weighted({ gateway: 3, agent: 3, control: 2, comeback: 1 })) {
      case 'gateway':
        gateway.restart();
        break;
      case 'agent':
        agent.restart();
        for (const each of this.#gateways) each.unlink(agent.id);
        break;
      case 'control':
        await this.#restartControl();
        break;
      case 'comeback':
        await this.#comeBack(gateway, agent);
        break;
    }
  }

  /** A gateway is cut off for longer than its lease, control concludes without it and restarts, and the gateway is back. */
  async #comeBack(gateway: SimulatedGateway, agent: SimulatedAgent): Promise<void> {
    this.#cutUntilMs.set(gateway.id, this.#clock.monotonicMs() + 2 * TABLE_LEASE_MS);
    this.#operatorActs(agent);
    await this.#calm(TABLE_LEASE_MS + WATCH_ACK_MS);
    await this.#restartControl();
    this.#cutUntilMs.delete(gateway.id);
    this.#sendAcknowledgement(gateway);
    while (this.#calls.some((call) => call.gateway === gateway)) await this.#deliverCall();
    while (this.#answers.length > 0) this.#answers.shift()?.(true);
  }

  async #restartControl(): Promise<void> {
    const { world, reserved } = this.#control;
    this.#control.kill();
    for (const call of this.#calls) if (call.kind === 'report') call.gateway.reported(call.request, false);
    for (const answer of this.#answers) answer(false);
    this.#calls = [];
    this.#answers = [];
    for (const gateway of this.#gateways) gateway.watch = undefined;
    if (this.#chance.happens(0.3)) await this.#advance(this.#chance.of([1_000, 30_000]) ?? 0);
    this.#control = this.#newControl(world, reserved);
    await this.#control.start();
    await flush();
  }

  #newControl(world: World, reserved: number): SimulatedControl {
    const control: SimulatedControl = new SimulatedControl({
      world,
      reserved,
      granted: this.#granted,
      clock: this.#clock,
      random: () => this.#chance.next(),
      onConcluded: (version) => this.witness.concluded(version),
      onStaged: (node) => {
        // Called from inside a pass, which would take an error for its own and try again.
        try {
          this.witness.handedOut(node, { ...this.#network(), control }, this.#clock.nowMs());
        } catch (error) {
          this.#found ??= error;
        }
      },
    });
    return control;
  }

  /** Time passes; timers fire one after the other, and everything that they start ends before the next. */
  async #advance(byMs: number | string, afterEach: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    let leftMs = Number(byMs);
    while (leftMs > 0) {
      const stepMs = Math.min(leftMs, Math.max(1, this.#clock.nextTimerInMs() ?? leftMs));
      this.#clock.advance(stepMs);
      leftMs -= stepMs;
      await flush();
      await afterEach();
    }
  }

  /** Time passes and all that is not cut off arrives at once, as on a good day. */
  async #calm(byMs: number): Promise<void> {
    await this.#advance(byMs, async () => {
      for (const gateway of this.#gateways) {
        if (this.#isCut(gateway)) continue;
        if (gateway.watch === undefined) this.#openWatch(gateway);
        for (const agent of this.#agents) if (this.#chance.happens(0.1)) gateway.link(agent);
      }
      for (let more = true; more; ) more = await this.#deliverOne();
    });
  }

  /** Something that is under way arrives. False: nothing is. */
  async #deliverOne(): Promise<boolean> {
    const ways = this.#gateways.length + 3;
    const first = this.#chance.below(ways);
    for (let step = 0; step < ways; step += 1) {
      const way = (first + step) % ways;
      const gateway = this.#gateways[way];
      if (gateway !== undefined) {
        if (this.#deliverOnLink(gateway) || this.#deliverLine(gateway)) return true;
      } else if (way === this.#gateways.length) {
        const answer = this.#answers.splice(this.#chance.below(this.#answers.length), 1)[0];
        answer?.(true);
        if (answer !== undefined) return true;
      } else if (await this.#deliverCall()) return true;
    }
    return false;
  }

  #deliverLine(gateway: SimulatedGateway): boolean {
    if (this.#isCut(gateway) || (gateway.watch?.length ?? 0) === 0) return false;
    this.#readLine(gateway);
    return true;
  }

  #deliverOnLink(gateway: SimulatedGateway): boolean {
    const link = this.#chance.of([...gateway.links.values()].filter(({ up, down }) => up.length + down.length > 0));
    if (link === undefined) return false;
    if (link.down.length > 0 && (link.up.length === 0 || this.#chance.happens(0.5))) gateway.deliverDown(link);
    else gateway.deliverUp(link);
    return true;
  }

  async #deliverCall(): Promise<boolean> {
    for (const gateway of this.#gateways) this.#sendReport(gateway);
    const call = this.#chance.of(this.#calls.filter(({ gateway }) => !this.#isCut(gateway)));
    if (call === undefined) return false;
    await this.#arrive(call);
    return true;
  }

  #readLine(gateway: SimulatedGateway): void {
    if (gateway.readLine() && this.#chance.happens(0.9)) this.#sendAcknowledgement(gateway);
  }

  async #arrive(call: Call): Promise<void> {
    this.#calls = this.#calls.filter((other) => other !== call);
    const { gateway } = call;
    if (call.kind === 'acknowledge') {
      const answer: AcknowledgeResponse = this.#control.acknowledge(call.sent.request);
      this.#answers.push((arrives) => {
        if (arrives) gateway.acknowledged(call.sent, answer);
      });
    } else {
      await this.#control.report(call.request);
      // The answer may be lost though the report has arrived: the gateway says all of it again.
      this.#answers.push((arrives) => gateway.reported(call.request, arrives));
    }
    await flush();
  }

  #sendAcknowledgement(gateway: SimulatedGateway): void {
    const sent = gateway.acknowledgement();
    if (sent !== undefined && this.#control.ready) this.#calls.push({ kind: 'acknowledge', gateway, sent });
  }

  #sendReport(gateway: SimulatedGateway): void {
    const request = this.#control.ready ? gateway.nextReport() : undefined;
    if (request !== undefined) this.#calls.push({ kind: 'report', gateway, request });
  }

  #takeCall(): Call | undefined {
    return this.#calls.splice(this.#chance.below(Math.max(1, this.#calls.length)), 1)[0];
  }

  #openWatch(gateway: SimulatedGateway): void {
    if (!this.#control.ready || this.#isCut(gateway)) return;
    const lines: string[] = [];
    gateway.watchOpened(lines);
    this.#control.openWatch(gateway.id, (line) => lines.push(line));
  }

  #isCut({ id }: SimulatedGateway): boolean {
    return (this.#cutUntilMs.get(id) ?? 0) > this.#clock.monotonicMs();
  }

  #operatorActs(agent: SimulatedAgent): void {
    const { settings } = agent;
    switch (this.#chance.weighted({ all: 1, consent: 4, models: 2, move: 2 })) {
      case 'all':
        agent.settings = anySettings(this.#chance);
        break;
      case 'consent':
        agent.settings = { ...settings, consent: anySettings(this.#chance).consent };
        break;
      case 'models':
        agent.settings = { ...settings, models: anySettings(this.#chance).models };
        break;
      case 'move':
        // From another address it dials anew.
        agent.address = this.#chance.of(ADDRESSES) ?? '';
        for (const gateway of this.#gateways) gateway.unlink(agent.id);
        return;
    }
    for (const gateway of this.#gateways) {
      gateway.links.get(agent.id)?.up.push({ type: 'declaration', document: agent.declaration() });
    }
  }

  async #ownerActs(agent: SimulatedAgent): Promise<void> {
    const control = this.#control;
    await ownerActs(control, agent.id, this.#chance, ({ complete, tableVersion, outstanding }) => {
      // Of a control that died meanwhile nobody hears an answer.
      if (this.#control !== control) return;
      const ends = outstanding.map(({ leaseEndsAt }) => Date.parse(leaseEndsAt));
      if (complete) this.witness.concluded(tableVersion);
      else this.witness.announced(tableVersion, Math.max(...ends));
    });
    await flush();
  }
}

/** Lets everything that was started go on to its end: the store answers at once, and nothing else is waited for. */
function flush(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

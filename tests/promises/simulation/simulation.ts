/**
 * A network of two control replicas on one store, several gateways and several agents, in which everything that may go
 * wrong between them does: messages come late, in another order or never, the store fails or hangs at any await, processes
 * stop, go on and restart, leases and terms run out, clocks are set, a backup is restored, operators and owners change their
 * minds meanwhile. One seed is one run. A step is one event: one thing that arrives, one timer that fires, one answer of
 * the store, one act or fault. After every step the witness looks at all of it.
 */
import { HEARTBEAT_MS } from '@subcloud/contract/link';
import { DRAIN_TIMEOUT_MS } from '@subcloud/control/membership/reconcile';
import { WATCH_ACK_MS } from '@subcloud/contract/watch';
import { type VirtualClock, virtualClock } from '@subcloud/testkit/virtual-clock';
import { SimulatedAgent } from './agent.ts';
import { type Chance, createChance } from './chance.ts';
import { MODELS, NAMES, OPERATORS, anySettings } from './choices.ts';
import { PartyClock } from './clocks.ts';
import { ADDRESSES, type SimulatedControl } from './control.ts';
import { SimulatedGateway } from './gateway.ts';
import { act } from './acts.ts';
import { LeaderRow, Replica } from './replica.ts';
import { Restores } from './restores.ts';
import { firstRows } from './store.ts';
import { NO_FAULTS, SimulatedStore } from './store/store.ts';
import { Traffic } from './traffic.ts';
import { settled } from './whole-look.ts';
import { Witness } from './witness.ts';

export const GATEWAYS = [
  { id: 'gw_a', by: 'socket' },
  { id: 'gw_b', by: 'tls' },
  { id: 'gw_c', by: 'tls' },
] as const;
/** Until every lease that anybody may remember has ended, and what waited for that is done. */
const SETTLE_MS = 130_000;

const KEPT = 80;

export class Simulation {
  readonly witness: Witness;
  readonly chance: Chance;
  readonly clock: VirtualClock = virtualClock();
  readonly store: SimulatedStore;
  readonly leader = new LeaderRow();
  readonly gateways: readonly SimulatedGateway[];
  readonly agents: readonly SimulatedAgent[];
  readonly replicas: readonly Replica[];
  readonly traffic: Traffic;
  readonly restores = new Restores();
  /** Clocks of gateways and agents. */
  readonly clocks: readonly PartyClock[];
  /** What happened last, for who looks into a failure. */
  readonly history: string[] = [];
  /** Events so far. */
  steps = 0;
  /** Acts of the run: each is one event or many. */
  acts = 0;
  lateSettles = 0;
  /** The replica that leads, or led last. */
  control: SimulatedControl | undefined;
  /** What the witness found in the middle of a step. */
  found: unknown;

  constructor(seed: number) {
    this.chance = createChance(seed);
    const { chance, clock } = this;
    this.store = new SimulatedStore(chance);
    this.clocks = [...GATEWAYS, ...OPERATORS].map(() => new PartyClock(clock, chance.below(20_000) - 10_000));
    const clockOf = (index: number): PartyClock => this.clocks[index] ?? new PartyClock(clock);
    this.gateways = GATEWAYS.map(({ id }, index) => new SimulatedGateway(id, clockOf(index)));
    this.agents = OPERATORS.map(
      (operator, index) =>
        new SimulatedAgent({
          index,
          operator,
          clock: clockOf(GATEWAYS.length + index),
          settings: anySettings(chance),
          address: ADDRESSES[index % 3] ?? '',
        }),
    );
    for (const agent of this.agents) {
      agent.onDrained = (drained) => {
        for (const { links } of this.gateways) links.get(agent.id)?.up.push({ type: 'drained', ...drained });
      };
    }
    firstRows(this.store, this.agents, GATEWAYS, clock.nowMs());
    this.witness = new Witness(this.agents, () => this);
    this.traffic = new Traffic(this);
    this.replicas = ['one', 'two'].map((name) => this.#newReplica(name));
    for (const gateway of this.gateways) {
      clock.every(WATCH_ACK_MS, () => this.traffic.sendAcknowledgement(gateway));
      clock.every(HEARTBEAT_MS, () => gateway.heartbeat());
    }
  }

  /** At least so many events. */
  async run(steps: number): Promise<void> {
    await this.calm(4_000);
    const { chance, store } = this;
    // Some runs have a store that never fails, some one that hardly answers.
    store.faults =
      chance.of([
        NO_FAULTS,
        { fails: 0.001, hangs: 0.004 },
        { fails: 0.004, hangs: 0.02 },
        { fails: 0.03, hangs: 0.05 },
      ]) ?? NO_FAULTS;
    while (this.steps < steps) {
      await act(this);
      this.acts += 1;
      this.event();
      this.witness.rogue(chance.of(['global', ...NAMES, 'none']) ?? '', chance.of([...MODELS, 'none']) ?? '');
    }
  }

  /** Nothing goes wrong any more, and all arrives. */
  async settle(): Promise<void> {
    this.store.faults = NO_FAULTS;
    for (const replica of this.replicas) {
      replica.isBlind = false;
      replica.goOn();
    }
    this.traffic.reconnect();
    for (const agent of this.agents) agent.finishAll();
    await this.calm(SETTLE_MS);
    this.witness.whole();
    try {
      settled(this);
    } catch {
      // What a gateway that never came back may still have in flight is waited for as long as anything drains.
      this.lateSettles += 1;
      await this.calm(DRAIN_TIMEOUT_MS + SETTLE_MS);
      settled(this);
    }
  }

  note(what: string): void {
    this.history.push(`${this.steps} +${this.clock.monotonicMs()} ms: ${what}`);
    if (this.history.length > KEPT) this.history.shift();
  }

  /** Something has happened: nothing may be as it must not be. */
  event(): void {
    this.steps += 1;
    if (this.store.broken !== undefined) throw this.store.broken;
    if (this.found !== undefined) throw this.found;
    this.witness.look(this.clock.nowMs());
  }

  /** Time passes; timers fire one after the other, and everything that they start ends before the next. */
  async advance(byMs: number | string, afterEach: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    let leftMs = Number(byMs);
    while (leftMs > 0) {
      const stepMs = Math.min(leftMs, Math.max(1, this.clock.nextTimerInMs() ?? leftMs));
      this.clock.advance(stepMs);
      leftMs -= stepMs;
      await flush();
      this.event();
      await afterEach();
    }
  }

  /** Time passes and all that is not cut off arrives at once, as on a good day. */
  async calm(byMs: number): Promise<void> {
    await this.advance(byMs, async () => {
      this.traffic.connect();
      while (await this.traffic.deliverOne()) this.event();
    });
  }

  /** What a replica does under a term is looked at wherever it could be seen. */
  #newReplica(name: string): Replica {
    const guarded = (task: () => void): void => {
      // Called from inside a pass, which would take an error for its own and try again.
      try {
        task();
      } catch (error) {
        this.found ??= error;
      }
    };
    return new Replica({
      name,
      clock: this.clock,
      store: this.store,
      leader: this.leader,
      random: () => this.chance.next(),
      onTerm: (control) => {
        this.control = control;
      },
      onConcluded: (control, version) => this.witness.concluded(control, version),
      onStaged: (control, node) => guarded(() => this.witness.handedOut(control, node)),
      onPassed: (control) => guarded(() => this.witness.passed(control)),
    });
  }
}

/** Lets everything that was started go on to its end, or to where it hangs: nothing else is waited for. */
export function flush(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

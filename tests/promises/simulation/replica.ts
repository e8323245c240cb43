/**
 * One control replica: it asks for the lead by the real rules, is control for a term, and stands by again. Its process may
 * be stopped for a while, or be gone and started anew.
 */
import { LEADER_TERM_MS, type Leadership, holdLead } from '@subcloud/control/leader/leadership';
import type { Clock } from '@subcloud/kit/clock';
import { silentLog } from '@subcloud/kit/log';
import { PartyClock } from './clocks.ts';
import { SimulatedControl, type ControlOptions } from './control.ts';

const POLL_MS = 1_000;

/** The row `leader`, by the clock of the database, which is the true one. */
export class LeaderRow {
  holder = '';
  renewedAtMs = 0;
}

export interface ReplicaOptions
  extends Pick<ControlOptions, 'store' | 'random' | 'onConcluded' | 'onStaged' | 'onPassed'> {
  readonly name: string;
  readonly clock: Clock;
  readonly leader: LeaderRow;
  /** A term begins to be served. */
  readonly onTerm: (control: SimulatedControl) => void;
}

export class Replica {
  readonly #options: ReplicaOptions;
  #clock: PartyClock;
  #process = 0;
  #control: SimulatedControl | undefined;
  #leadership: Leadership | undefined;
  /** It cannot reach the row, though it may reach the rest. */
  isBlind = false;
  /** Planted: it takes itself for the leader for ever; it takes every version for acknowledged by all. */
  neverEnds = false;
  concludesAtOnce = false;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#clock = this.#begin();
  }

  get name(): string {
    return this.#options.name;
  }
  get control(): SimulatedControl | undefined {
    return this.#control;
  }
  get clock(): PartyClock {
    return this.#clock;
  }
  get isStopped(): boolean {
    return this.#clock.isStopped;
  }

  get #client(): string {
    return `${this.#options.name}/${this.#process}`;
  }

  /** kill -9, and a new process. On its machine the old one is known to be gone. */
  restart(): void {
    const { store, leader } = this.#options;
    const client = this.#client;
    this.#clock.end();
    this.#control?.end();
    store.disconnect(client);
    if (leader.holder === client) leader.holder = '';
    this.#control = undefined;
    this.#leadership = undefined;
    this.#clock = this.#begin();
  }

  stop(): void {
    this.#clock.stop();
  }

  goOn(): void {
    this.#clock.goOn();
  }

  #begin(): PartyClock {
    this.#process += 1;
    const clock = new PartyClock(this.#options.clock, this.#process > 1 ? this.#clock.offsetMs : 0);
    clock.every(POLL_MS, () => this.#askForLead());
    return clock;
  }

  #askForLead(): void {
    const { leader, store, clock: trueClock } = this.#options;
    if (this.#leadership !== undefined || this.isBlind) return;
    if (leader.holder !== '' && trueClock.nowMs() - leader.renewedAtMs < LEADER_TERM_MS) return;
    const client = this.#client;
    const clock = this.#clock;
    const fence = store.takeLead();
    leader.holder = client;
    leader.renewedAtMs = trueClock.nowMs();
    const held = holdLead(
      { clock, log: silentLog },
      {
        fence,
        sentAt: { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() },
        renew: () => {
          if (this.isBlind) return Promise.reject(new Error('the store is not reached'));
          if (store.fence !== fence) return Promise.resolve(false);
          leader.renewedAtMs = trueClock.nowMs();
          return Promise.resolve(true);
        },
        giveUp: () => {
          if (store.fence === fence) leader.holder = '';
          return Promise.resolve();
        },
      },
    );
    const leadership: Leadership = this.neverEnds
      ? { ...held, held: () => true, lost: new Promise(() => undefined) }
      : held;
    this.#leadership = leadership;
    void this.#serveTerm(leadership, client, clock);
  }

  async #serveTerm(leadership: Leadership, client: string, clock: PartyClock): Promise<void> {
    const { onTerm, ...rest } = this.#options;
    const control = new SimulatedControl({ ...rest, client, leadership, clock, concludesAtOnce: this.concludesAtOnce });
    this.#control = control;
    try {
      await control.start();
      onTerm(control);
      await leadership.lost;
    } catch {
      // The store failed: the term is given up, and asked for again.
      await leadership.release();
    }
    control.end();
    // The process may be another by now.
    if (this.#leadership === leadership) this.#leadership = undefined;
  }
}

/**
 * An agent, less its sockets and signatures: it keeps the newest document it has seen through restarts, acknowledges it
 * where it came from, declares what its operator says, asks the real second lock about every request, and says by the real
 * rule where it has nothing in flight any more.
 */
import { type ControlTime, createControlTime } from '@subcloud/agent/control-time';
import type { CurrentDocument } from '@subcloud/agent/state/current-document';
import { createAdmission } from '@subcloud/agent/serve/admission';
import { type DrainedPools, watchDrainedPools } from '@subcloud/agent/serve/drained-pools';
import { checkLock } from '@subcloud/agent/serve/second-lock';
import {
  type NodeDocument,
  type NodeMembership,
  type SignedDocument,
  nodeDocument,
} from '@subcloud/contract/documents';
import { type SigningKey, generateSigningKey, signDocument } from '@subcloud/kit/signing';
import type { Clock } from '@subcloud/kit/clock';
import type { Consent } from '@subcloud/policy/consent';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Chance } from './chance.ts';
import { NETWORK_ID } from './store.ts';

export interface Settings {
  readonly consent: Consent;
  readonly models: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** Making keys is slow, and nothing here depends on which they are. */
const keys: SigningKey[] = [];
function keyOf(index: number): SigningKey {
  const key = keys[index] ?? generateSigningKey();
  keys[index] = key;
  return key;
}

export class SimulatedAgent {
  readonly id: string;
  readonly operator: PrincipalId;
  readonly key: SigningKey;
  readonly #clock: Clock;
  settings: Settings;
  address: string;
  /** What it believes control's clock to show. */
  time: ControlTime;
  /** Of a faulty one alone: it takes what is older than what it has seen. */
  forgetsEpochs = false;
  /** On disk: survives every restart. */
  document: NodeDocument | undefined;
  #signedBody = '';
  /** Called when there is something new to say about the pools that it is leaving. */
  onDrained: (drained: DrainedPools) => void = () => undefined;
  #declared = 0;
  #admission = createAdmission();
  #inFlight: { readonly gateway: string; readonly done: () => void }[] = [];
  #changed: (() => void)[] = [];
  #drained: { now(): DrainedPools | undefined };

  constructor(options: { index: number; operator: PrincipalId; clock: Clock; settings: Settings; address: string }) {
    this.id = `nod_${options.index}`;
    this.operator = options.operator;
    this.key = keyOf(options.index);
    this.#clock = options.clock;
    this.time = createControlTime(options.clock);
    this.settings = options.settings;
    this.address = options.address;
    this.#drained = this.#watchDrained();
  }

  /** What it had under way is gone with its links, and what it has said; its document is on disk. */
  restart(): void {
    this.#changed = [];
    this.#inFlight = [];
    this.#admission = createAdmission();
    this.time = createControlTime(this.#clock);
    if (this.document !== undefined) this.time.signed(this.document.issuedAt);
    this.#drained = this.#watchDrained();
  }

  /** What a new link is told first. */
  drained(): DrainedPools | undefined {
    return this.#drained.now();
  }

  inFlightOf(pool: string): number {
    return this.#admission.inFlightOf(pool);
  }

  get inFlight(): number {
    return this.#inFlight.length;
  }

  inFlightFrom(gateway: string): number {
    return this.#inFlight.filter((one) => one.gateway === gateway).length;
  }

  begin(gateway: string, pool: string): void {
    this.#inFlight.push({ gateway, done: this.#admission.enter(null, pool) });
  }

  /** An answer comes to its end. */
  finish(chance: Chance): void {
    this.#inFlight.splice(chance.below(this.#inFlight.length), 1)[0]?.done();
  }

  /** Answers on this link have nobody to go to; without a link: every answer comes to its end. */
  finishAll(gateway?: string): void {
    const ended = this.#inFlight.filter((one) => gateway === undefined || one.gateway === gateway);
    this.#inFlight = this.#inFlight.filter((one) => !ended.includes(one));
    for (const { done } of ended) done();
  }

  get position(): { epoch: number; serial: number } {
    return { epoch: this.document?.epoch ?? 0, serial: this.document?.serial ?? 0 };
  }

  /** True: it is in force now, or was already, and is acknowledged. */
  accept(signed: SignedDocument): boolean {
    const document = nodeDocument.parse(JSON.parse(signed.body));
    const { epoch, serial } = this.position;
    if (!this.forgetsEpochs && (document.epoch < epoch || (document.epoch === epoch && document.serial < serial)))
      return false;
    const known = this.document !== undefined && document.epoch === epoch && document.serial === serial;
    if (known && this.#signedBody !== signed.body)
      throw new Error(`${this.id} was given two different documents ${epoch}.${serial}`);
    this.document = document;
    this.#signedBody = signed.body;
    this.time.signed(document.issuedAt);
    if (!known) for (const listener of this.#changed) listener();
    return true;
  }

  declaration(): SignedDocument {
    this.#declared += 1;
    const { consent, models, labels } = this.settings;
    return signDocument(this.key, 'declaration', {
      version: 1,
      networkId: NETWORK_ID,
      nodeId: this.id,
      serial: this.#declared,
      issuedAt: this.#clock.nowMs(),
      models: models.map((id) => ({ id, digest: null, quantization: null, modalities: null, contextLength: null })),
      labels: { ...labels },
      hardware: null,
      location: null,
      consent,
      concurrency: null,
      agentVersion: 'sim',
    });
  }

  /** The document in force; undefined where there is none or it has expired. */
  inForce(): NodeDocument | undefined {
    return this.document === undefined || this.document.notAfter <= this.time.nowMs() ? undefined : this.document;
  }

  /** What its own document allows, whatever the operator says today. */
  inDocument(pool: string, model: string): boolean {
    return this.#membership(pool)?.models.includes(model) === true;
  }

  /** The real lock. */
  serves(pool: string, model: string): boolean {
    // A refusal is an error, and nobody reads the stacks of a million of them.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    try {
      checkLock(
        { pool, model },
        { document: this.#current(), consent: this.settings.consent, operator: this.operator },
      );
      return true;
    } catch {
      return false;
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  }

  #watchDrained(): { now(): DrainedPools | undefined } {
    const watched = watchDrainedPools({
      document: this.#current(),
      admission: this.#admission,
      say: () => {
        const now = watched.now();
        if (now !== undefined) this.onDrained(now);
      },
    });
    return watched;
  }

  #membership(pool: string): NodeMembership | undefined {
    return this.inForce()?.memberships.find((membership) => membership.pool === pool);
  }

  #current(): CurrentDocument {
    const position = (): { epoch: number; serial: number } => this.position;
    return {
      get position() {
        return position();
      },
      tableVersion: this.document?.tableVersion ?? 0,
      accept: () => {
        throw new Error('the lock reads, and no more');
      },
      adoptChain: () => undefined,
      membership: (pool) => this.#membership(pool),
      serves: (membership, model) => membership.models.includes(model),
      gateways: () => [],
      draining: () => this.document?.draining ?? [],
      onChange: (listener) => {
        this.#changed.push(listener);
      },
      pools: () => [],
    };
  }
}

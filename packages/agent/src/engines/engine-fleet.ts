/** All engines of this machine: those that are named, or with `auto` those that answer on the usual local ports. */
import type { EngineLoad } from '@subcloud/contract/link';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { ModelFact } from '@subcloud/policy/facts';
import type { EngineSpec } from '../agent-file.ts';
import type { Engine } from './engine.ts';
import { createHttpEngine } from './http-engine.ts';
import { modelFacts } from './model-facts.ts';

/** Ollama, vLLM, SGLang, llama.cpp, LM Studio, TGI. */
const USUAL_PORTS = [11_434, 8000, 30_000, 8080, 1234, 3000];
/** Each engine decides whether it is time to be looked at. */
const LOOK_TICK_MS = 2_000;

export interface PickedEngine {
  readonly engine: Engine;
  /** What this engine calls the model. */
  readonly name: string;
}

export interface EngineFleet {
  /** Network ids of all models that are there now, sorted. */
  models(): readonly string[];
  /** What is said of them, one a network id, in the same order. */
  facts(): readonly ModelFact[];
  /** Of those engines that say something of it. */
  loads(): readonly EngineLoad[];
  /**
   * The engine with the fewest requests of ours among those that have the model; `mustContinue`: of those that can go on
   * with an answer.
   */
  pick(model: string, mustContinue?: boolean): PickedEngine | undefined;
  /**
   * Replaces engines whose description changed; the others, and their requests, stay. New ones are looked at before old
   * ones go, so that giving a model another name does not take the others away for a moment. Resolves then.
   */
  use(engines: 'auto' | readonly EngineSpec[]): Promise<void>;
  /** Looks at every engine whose turn it is. */
  look(): Promise<void>;
  onChange(listener: () => void): void;
  close(): Promise<void>;
}

export function createEngineFleet(options: { readonly clock: Clock; readonly log: Log }): EngineFleet {
  const { clock, log } = options;
  let engines: ReadonlyMap<string, Engine> = new Map();
  let uses = 0;
  const listeners: (() => void)[] = [];
  /** Counts picks, so that engines that are equally idle take turns. */
  let picks = 0;
  let closed = false;
  let told = '[]';
  const onChange = (): void => {
    const now = JSON.stringify(facts());
    if (closed || now === told) return;
    told = now;
    for (const listener of listeners) listener();
  };
  const facts = (): readonly ModelFact[] => modelFacts([...engines.values()]);
  const look = async (): Promise<void> => {
    await Promise.all([...engines.values()].map((engine) => engine.look()));
  };
  const ticking = clock.every(LOOK_TICK_MS, () => void look());

  return {
    models: () => facts().map(({ id }) => id),
    facts,
    loads: () =>
      [...engines.values()].flatMap(({ load, models }) =>
        load === undefined || models.size === 0 ? [] : [{ ...load, models: [...models.keys()] }],
      ),
    pick(model, mustContinue = false) {
      let best: PickedEngine | undefined;
      const all = [...engines.values()];
      const first = all.length === 0 ? 0 : picks++ % all.length;
      for (let step = 0; step < all.length; step++) {
        const engine = all[(first + step) % all.length];
        const name = engine?.models.get(model);
        if (engine === undefined || name === undefined || (mustContinue && !engine.continues)) continue;
        if (best === undefined || engine.inFlight < best.engine.inFlight) best = { engine, name };
      }
      return best;
    },
    async use(wanted) {
      const turn = ++uses;
      const guessed = wanted === 'auto';
      const specs = guessed ? USUAL_PORTS.map((port) => ({ url: `http://127.0.0.1:${port}`, models: {} })) : wanted;
      const next = new Map<string, Engine>();
      for (const spec of specs) {
        const key = JSON.stringify([guessed, spec]);
        next.set(key, engines.get(key) ?? createHttpEngine({ spec, guessed, clock, log, onChange }));
      }
      await Promise.all([...next.values()].map((engine) => engine.look()));
      // A later call, or the end, has overtaken this one.
      const keep = turn === uses && !closed ? next : engines;
      for (const [key, engine] of [...engines, ...next]) {
        if (keep.get(key) !== engine) void retire(engine, clock);
      }
      if (keep !== next) return;
      engines = next;
      onChange();
    },
    look,
    onChange: (listener) => {
      listeners.push(listener);
    },
    async close() {
      closed = true;
      ticking.cancel();
      await Promise.all([...engines.values()].map((engine) => engine.close()));
    },
  };
}

const RETIRE_LOOK_MS = 1_000;

/** An engine that is no longer named finishes what it has. */
async function retire(engine: Engine, clock: Clock): Promise<void> {
  while (engine.inFlight > 0) await clock.sleep(RETIRE_LOOK_MS);
  await engine.close();
}

/**
 * Which make of engine answers, told by its answers alone, and what it says of its models. Whatever cannot be told falls
 * back to "some OpenAI-compatible server", of which little is known and nothing is guessed.
 */
import type { Clock } from '@subcloud/kit/clock';
import type { Ask, EngineMake, EngineReading, ListedModel } from './engine-make.ts';
import { demoEngine } from './demo-engine.ts';
import { createLlamaCpp } from './llama-cpp.ts';
import { lmStudio } from './lm-studio.ts';
import { createOllama } from './ollama.ts';
import { openAiCompatible } from './openai-compatible.ts';
import { sglang } from './sglang.ts';
import { tgi } from './tgi.ts';
import { vllm } from './vllm.ts';

/** A known make is asked again this often; its list of models is looked at far more often than that. */
const READ_MS = 60_000;
/** A server that answered to no make's API may be another one by now. */
const TELL_MS = 600_000;
/** All questions of one reading together. */
const READING_MS = 5_000;

/** One question to the engine: undefined for anything but a 200 with JSON. Throws when there was no answer in time. */
export type Question = (
  path: string,
  question: { readonly body?: unknown; readonly signal: AbortSignal },
) => Promise<unknown>;

export interface EngineReader {
  readonly make: string;
  /** Whether an answer can be continued there: see EngineMake. */
  readonly continues: boolean;
  /** What is known of these models now: from the engine when it is time to ask, else as before. Never rejects. */
  read(listed: readonly ListedModel[]): Promise<EngineReading>;
}

export function createEngineReader({ ask, clock }: { readonly ask: Question; readonly clock: Clock }): EngineReader {
  const makes: readonly EngineMake[] = [vllm, sglang, createLlamaCpp(), createOllama(), tgi, lmStudio, demoEngine];
  let make = openAiCompatible;
  let last: EngineReading | undefined;
  let lastNames = '';
  let dueMs = Number.NEGATIVE_INFINITY;

  const tell = async (listed: readonly ListedModel[], question: Ask): Promise<EngineReading | undefined> => {
    const likely = [...makes].sort((a, b) => Number(b.looksLike(listed)) - Number(a.looksLike(listed)));
    for (const candidate of likely) {
      const reading = await candidate.read(listed, question);
      if (reading === undefined) continue;
      make = candidate;
      return reading;
    }
    return undefined;
  };
  const readNow = async (listed: readonly ListedModel[]): Promise<EngineReading> => {
    let unanswered = false;
    const giveUp = new AbortController();
    const timer = clock.after(READING_MS, () => giveUp.abort(new Error('the engine was too slow')));
    const question: Ask = async (path, { body } = { body: undefined }) => {
      try {
        giveUp.signal.throwIfAborted();
        return await ask(path, { ...(body === undefined ? {} : { body }), signal: giveUp.signal });
      } catch {
        unanswered = true;
        return undefined;
      }
    };
    try {
      const known = make === openAiCompatible ? undefined : await make.read(listed, question);
      if (known !== undefined) return known;
      // Busy is not gone: what it said before still holds, and nothing flaps.
      if (unanswered && make !== openAiCompatible && last !== undefined) return last;
      const told = await tell(listed, question);
      if (told !== undefined) return told;
      make = openAiCompatible;
      dueMs = clock.monotonicMs() + (unanswered ? READ_MS : TELL_MS);
      return (await openAiCompatible.read(listed, question)) ?? { traits: new Map() };
    } finally {
      timer.cancel();
    }
  };

  return {
    get make() {
      return make.name;
    },
    get continues() {
      return last?.continues ?? make.continues === true;
    },
    async read(listed) {
      const names = JSON.stringify(listed.map(({ id }) => id));
      if (last !== undefined && names === lastNames && clock.monotonicMs() < dueMs) return last;
      dueMs = clock.monotonicMs() + READ_MS;
      last = await readNow(listed);
      lastNames = names;
      return last;
    },
  };
}

/**
 * A fleet whose engines cache prefixes: what routing is worth to the time of the first token.
 *
 * Costs. Qwen3-32B under vLLM, as the llm-d project and Red Hat showed it (Red Hat Summit 2026; "Master KV cache aware
 * routing with llm-d", Red Hat Developer, 2025-10): a prompt of 10,000 tokens takes 4.3 s to its first token cold and
 * 0.6 s from the cache. So 0.37 ms a token that is not cached, one prompt after the other on an engine, and 0.6 s besides.
 * The load is of the shape of theirs: eight engines, system prompts of 6,000 tokens shared by groups of users, questions
 * of 1,200 tokens. Their caches hold 300,000 tokens each, which is an assumption, as are 150 groups and the rates.
 */
import { hashBytes, pickByAffinity } from '@subcloud/gateway/schedule/affinity';
import { TriedNode } from '@subcloud/gateway/schedule/node-stats';
import { pick } from '@subcloud/gateway/schedule/pick';
import { seeded } from '@subcloud/testkit/seeded';
import { Agenda, type Fleet, MODEL, exponential, fleetOf } from './fleet.ts';

const ENGINES = 8;
const GROUPS = 150;
const PREFIX_TOKENS = 6_000;
const QUESTION_TOKENS = 1_200;
const CACHE_TOKENS = 300_000;
const PREFILL_MS_A_TOKEN = 0.37;
const FIXED_MS = 600;
const PER_SECOND = 6;
const RUN_MS = 600_000;
/** Caches fill first. */
const COUNTED_FROM_MS = 120_000;

export type PrefixPolicy = 'roundRobin' | 'leastLoaded' | 'affinity' | 'ours';

export interface PrefixResult {
  readonly policy: PrefixPolicy;
  readonly ttftP50Ms: number;
  readonly ttftP90Ms: number;
  readonly cacheHitRate: number;
}

/** One engine: prompts are prefilled one after the other, and the least recently used prefixes leave its cache. */
class Engine {
  readonly #cached = new Set<number>();
  #freeMs = 0;

  /** When the first token is there, and whether the prefix was cached. */
  take(group: number, nowMs: number): { readonly firstTokenMs: number; readonly hit: boolean } {
    const hit = this.#cached.delete(group);
    this.#cached.add(group);
    const capacity = Math.floor(CACHE_TOKENS / (PREFIX_TOKENS + QUESTION_TOKENS));
    for (const oldest of this.#cached) {
      if (this.#cached.size <= capacity) break;
      this.#cached.delete(oldest);
    }
    const tokens = QUESTION_TOKENS + (hit ? 0 : PREFIX_TOKENS);
    this.#freeMs = Math.max(nowMs, this.#freeMs) + tokens * PREFILL_MS_A_TOKEN;
    return { firstTokenMs: this.#freeMs + FIXED_MS, hit };
  }
}

export function prefixCaches(policy: PrefixPolicy): PrefixResult {
  const random = seeded(5);
  const fleet = fleetOf(ENGINES);
  const engines = fleet.links.map(() => new Engine());
  const agenda = new Agenda();
  const ttftMs: number[] = [];
  let requests = 0;
  let hits = 0;
  for (let nowMs = 0; nowMs < RUN_MS; nowMs += exponential(1_000 / PER_SECOND, random)) {
    agenda.runUntil(nowMs);
    // Some groups ask far more than others.
    const group = Math.floor(GROUPS * random() ** 2);
    const index = choose(policy, requests, group, fleet, nowMs, random);
    const link = fleet.links[index];
    const taken = engines[index]?.take(group, nowMs);
    requests += 1;
    if (link === undefined || taken === undefined) continue;
    const { firstTokenMs, hit } = taken;
    if (nowMs >= COUNTED_FROM_MS) {
      ttftMs.push(firstTokenMs - nowMs);
      if (hit) hits += 1;
    }
    const tried = new TriedNode(link.stats, MODEL, true, nowMs);
    link.inFlight += 1;
    agenda.add(firstTokenMs, () => {
      link.inFlight -= 1;
      tried.firstByte(firstTokenMs);
      tried.ended('served', firstTokenMs);
    });
  }
  ttftMs.sort((a, b) => a - b);
  const at = (share: number): number => Math.round(ttftMs[Math.floor(ttftMs.length * share)] ?? 0);
  return {
    policy,
    ttftP50Ms: at(0.5),
    ttftP90Ms: at(0.9),
    cacheHitRate: Math.round((hits / ttftMs.length) * 1e3) / 1e3,
  };
}

function choose(
  policy: PrefixPolicy,
  requests: number,
  group: number,
  fleet: Fleet,
  nowMs: number,
  random: () => number,
): number {
  const { links, members } = fleet;
  const key = hashBytes(Buffer.from(`group ${group}`));
  switch (policy) {
    case 'roundRobin':
      return requests % links.length;
    case 'leastLoaded':
      return links.reduce(
        (least, { inFlight }, index) => (inFlight < (links[least]?.inFlight ?? 0) ? index : least),
        0,
      );
    case 'affinity':
      return key % links.length;
    case 'ours': {
      const view = fleet.view(nowMs);
      const drawn = pick(members, view, random);
      if (drawn === undefined) throw new Error('nobody');
      const { link } = pickByAffinity(members, key, view, drawn).chosen;
      return links.indexOf(link);
    }
  }
}

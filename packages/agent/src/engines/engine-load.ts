/**
 * What an engine says of its own load on `/metrics`, in Prometheus' text format: vLLM, SGLang (with --enable-metrics) and
 * llama.cpp (with --metrics). Engines that say nothing are asked again rarely.
 */
import type { Clock } from '@subcloud/kit/clock';
import type { Dispatcher } from 'undici';

export interface OwnLoad {
  readonly running: number;
  readonly waiting: number;
  /** 0..1, or null. */
  readonly kvCacheUsed: number | null;
}

/** The first name that is there counts; samples of one name (one a model or rank) are added, of a share the largest counts. */
const NAMES = {
  running: ['vllm:num_requests_running', 'sglang:num_running_reqs', 'llamacpp:requests_processing'],
  waiting: ['vllm:num_requests_waiting', 'sglang:num_queue_reqs', 'llamacpp:requests_deferred'],
  kvCacheUsed: [
    'vllm:kv_cache_usage_perc',
    'vllm:gpu_cache_usage_perc',
    'sglang:token_usage',
    'llamacpp:kv_cache_usage_ratio',
  ],
} as const;
const MAX_METRICS_BYTES = 2_097_152;
const ANSWER_MS = 2_000;
const ASK_MS = 2_000;
const ASK_SILENT_MS = 60_000;
/** An engine that has spoken and is silent now is busy more likely than changed: it is asked on for a minute. */
const MOST_MISSES = 30;
const MAX_COUNT = 1_000_000;

/** Undefined where the text has no load that is known here. */
export function parseLoad(text: string): OwnLoad | undefined {
  const running = samples(text, NAMES.running);
  const waiting = samples(text, NAMES.waiting);
  if (running === undefined || waiting === undefined) return undefined;
  const shares = samples(text, NAMES.kvCacheUsed);
  return {
    running: total(running),
    waiting: total(waiting),
    kvCacheUsed: shares === undefined ? null : Math.min(1, Math.max(0, ...shares)),
  };
}

function samples(text: string, names: readonly string[]): readonly number[] | undefined {
  for (const name of names) {
    const found: number[] = [];
    for (let at = text.indexOf(name); at !== -1; at = text.indexOf(name, at + 1)) {
      // A whole name at the start of a line: comments and longer names are others.
      if (at > 0 && text[at - 1] !== '\n') continue;
      const end = text.indexOf('\n', at);
      const rest = text.slice(at + name.length, end === -1 ? undefined : end);
      const value = /^(?:\{[^\n]*\})?\s+(\S+)/.exec(rest)?.[1];
      if (value !== undefined && Number.isFinite(Number(value))) found.push(Number(value));
    }
    if (found.length > 0) return found;
  }
  return undefined;
}

function total(values: readonly number[]): number {
  return Math.min(MAX_COUNT, Math.max(0, Math.round(values.reduce((sum, value) => sum + value, 0))));
}

export interface LoadReader {
  readonly load: OwnLoad | undefined;
  /** Asks when it is time. Never rejects. */
  look(): Promise<void>;
}

export function createLoadReader(options: {
  readonly dispatcher: Dispatcher;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
}): LoadReader {
  const { clock } = options;
  let load: OwnLoad | undefined;
  let dueMs = Number.NEGATIVE_INFINITY;
  let missesLeft = 0;
  return {
    get load() {
      return load;
    },
    async look() {
      if (clock.monotonicMs() < dueMs) return;
      dueMs = clock.monotonicMs() + ASK_MS;
      load = await ask(options).then(parseLoad, () => undefined);
      missesLeft = load === undefined ? missesLeft - 1 : MOST_MISSES;
      if (missesLeft <= 0) dueMs = clock.monotonicMs() + ASK_SILENT_MS;
    },
  };
}

async function ask(options: Parameters<typeof createLoadReader>[0]): Promise<string> {
  const giveUp = new AbortController();
  const timer = options.clock.after(ANSWER_MS, () => giveUp.abort(new Error('no metrics in time')));
  try {
    const { path, headers } = options;
    const { statusCode, body } = await options.dispatcher.request({
      method: 'GET',
      path,
      headers,
      signal: giveUp.signal,
    });
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const part of body) {
      bytes += (part as Buffer).byteLength;
      if (bytes > MAX_METRICS_BYTES) throw new Error('the metrics are too long');
      parts.push(part as Buffer);
    }
    return statusCode === 200 ? Buffer.concat(parts).toString('utf8') : '';
  } finally {
    timer.cancel();
  }
}

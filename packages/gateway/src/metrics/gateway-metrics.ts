/**
 * What a gateway counts of its requests. Fed with the records that leave anyway (decision, usage), so that the request
 * path has no calls of its own for it; gauges are read when somebody asks. Nothing of prompts, answers, callers or nodes.
 */
import type { DecisionRecord } from '@subcloud/contract/watch';
import type { SpanCounts } from '@subcloud/kit/tracing/start-tracing';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { PROVIDER } from '../tracing/request-spans.ts';
import type { Operation } from '@subcloud/contract/operation';
import { outcomeWord as word } from '../request/outcome-word.ts';
import type { UnsequencedUsage } from '../usage/journal.ts';
import { GATEWAY_METRICS, type GatewayMetricName, type MetricSpec } from './metric-names.ts';

/** Pairs of pool and model that have series of their own. */
const MAX_SERIES = 2_000;
/** Pools that have. */
const MAX_POOLS = 1_000;
const OTHER = 'other';

/** Read at each scrape. */
export interface GatewayGauges {
  readonly activeRequests: number;
  readonly bufferedBytes: number;
  readonly links: number;
  readonly tableVersion: number;
  readonly live: boolean;
  readonly usagePending: number;
  /** Undefined: nothing is traced. */
  readonly spans: SpanCounts | undefined;
  /** Requests that wait for a place, by pool. */
  readonly waiting: ReadonlyMap<string, number>;
  /** Members by pool. */
  readonly members: ReadonlyMap<string, number>;
}

export interface GatewayMetrics {
  /** Before the decision record of the same request. */
  counted(record: UnsequencedUsage): void;
  decided(record: DecisionRecord, operation: Operation): void;
  /** The page, in Prometheus' text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** `worker`: of several processes on one port; each has a page of its own, and its number keeps their series apart. */
export function gatewayMetrics(worker: number | undefined, gauges: () => GatewayGauges): GatewayMetrics {
  const registry = new Registry();
  if (worker !== undefined) registry.setDefaultLabels({ worker: String(worker) });
  collectDefaultMetrics({ register: registry });
  const made = instruments(registry);
  const label = boundedLabels();
  const isKnownPool = bounded(MAX_POOLS);
  /** Output tokens of answers whose decision record comes next: it has the times, the usage record the tokens. */
  const outputTokens = new Map<string, number>();
  return {
    contentType: registry.contentType,
    counted({ requestId, pool, model, promptTokens, completionTokens }) {
      const labels = label(pool, model);
      made.tokens.inc({ ...labels, gen_ai_token_type: 'input' }, promptTokens);
      made.tokens.inc({ ...labels, gen_ai_token_type: 'output' }, completionTokens);
      outputTokens.set(requestId, completionTokens);
    },
    decided(record, gen_ai_operation_name) {
      const { requestId, pool, model, attempts, outcome, firstByteMs, durationMs } = record;
      const poolLabel = { subcloud_pool: pool === null ? '' : isKnownPool(pool) ? pool : OTHER };
      made.requests.inc({ ...poolLabel, outcome: word(outcome) });
      for (const attempt of attempts) made.attempts.inc({ ...poolLabel, outcome: word(attempt.outcome) });
      for (const over of record.overLimit ?? []) made.overLimit.inc({ ...poolLabel, ...scopeAndLimit(over) });
      if (record.queuedMs !== undefined) made.queued.observe(poolLabel, record.queuedMs / 1_000);
      const tokens = outputTokens.get(requestId);
      outputTokens.delete(requestId);
      // A model that no node was asked for is whatever the caller wrote.
      if (attempts.length === 0) return;
      const labels = { ...label(pool ?? '', model ?? ''), gen_ai_operation_name, gen_ai_provider_name: PROVIDER };
      const error_type = outcome === 'answered' ? '' : word(outcome);
      made.duration.observe({ ...labels, error_type }, durationMs / 1_000);
      if (outcome !== 'answered' || firstByteMs === null) return;
      made.firstToken.observe(labels, firstByteMs / 1_000);
      if (tokens !== undefined && tokens > 1) {
        made.outputToken.observe(labels, Math.max(0, durationMs - firstByteMs) / 1_000 / (tokens - 1));
      }
    },
    text() {
      setGauges(made, gauges());
      return registry.metrics();
    },
  };
}

/** Of `caller requestsPerMinute`, as the limiter writes it. */
function scopeAndLimit(over: string): { scope: string; limit: string } {
  const [scope = '', limit = ''] = over.split(' ');
  return { scope, limit };
}

/** The first so many values, and `other` for all after them: names come and go, and a series that was is kept for good. */
function bounded(max: number): (value: string) => boolean {
  const known = new Set<string>();
  return (value) => {
    if (!known.has(value) && known.size < max) known.add(value);
    return known.has(value);
  };
}

function boundedLabels(): (pool: string, model: string) => { subcloud_pool: string; gen_ai_request_model: string } {
  const isKnown = bounded(MAX_SERIES);
  const other = { subcloud_pool: OTHER, gen_ai_request_model: OTHER };
  return (pool, model) => (isKnown(`${pool} ${model}`) ? { subcloud_pool: pool, gen_ai_request_model: model } : other);
}

function instruments(registry: Registry) {
  const options = (name: GatewayMetricName) => {
    const { help, labels, buckets }: MetricSpec = GATEWAY_METRICS[name];
    const labelNames = [...labels];
    return {
      name,
      help,
      labelNames,
      registers: [registry],
      ...(buckets === undefined ? {} : { buckets: [...buckets] }),
    };
  };
  const gauge = (name: GatewayMetricName): Gauge => new Gauge(options(name));
  return {
    duration: new Histogram(options('gen_ai_server_request_duration_seconds')),
    firstToken: new Histogram(options('gen_ai_server_time_to_first_token_seconds')),
    outputToken: new Histogram(options('gen_ai_server_time_per_output_token_seconds')),
    tokens: new Counter(options('subcloud_tokens_total')),
    requests: new Counter(options('subcloud_requests_total')),
    attempts: new Counter(options('subcloud_attempts_total')),
    overLimit: new Counter(options('subcloud_dry_run_over_limit_total')),
    active: gauge('subcloud_active_requests'),
    buffered: gauge('subcloud_buffered_bytes'),
    links: gauge('subcloud_links'),
    tableVersion: gauge('subcloud_table_version'),
    live: gauge('subcloud_table_live'),
    members: gauge('subcloud_pool_members'),
    pending: gauge('subcloud_usage_pending'),
    spans: new Counter(options('subcloud_trace_spans_total')),
    waiting: gauge('subcloud_queue_requests'),
    queued: new Histogram(options('subcloud_queue_seconds')),
  };
}

function setGauges(made: ReturnType<typeof instruments>, now: GatewayGauges): void {
  made.active.set(now.activeRequests);
  made.buffered.set(now.bufferedBytes);
  made.links.set(now.links);
  made.tableVersion.set(now.tableVersion);
  made.live.set(now.live ? 1 : 0);
  made.pending.set(now.usagePending);
  made.spans.reset();
  for (const [outcome, count] of Object.entries(now.spans ?? {})) made.spans.inc({ outcome }, count as number);
  // A pool that is gone has no series any more.
  made.members.reset();
  for (const [pool, count] of now.members) made.members.set({ subcloud_pool: pool }, count);
  made.waiting.reset();
  for (const [pool, count] of now.waiting) made.waiting.set({ subcloud_pool: pool }, count);
}

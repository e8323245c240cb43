/**
 * Every metric of a gateway: name, kind, labels, unit in the name. What OpenTelemetry's conventions for generative AI
 * name carries their name and buckets (docs/gen-ai/gen-ai-metrics.md of the semantic conventions), with underscores and
 * the unit as Prometheus writes them; the rest begins with `subcloud_`. Dashboards and docs are tested against this list.
 *
 * Labels are bounded: pools and models are those of the table and at most MAX_SERIES pairs of them (the rest counts as
 * `other`), outcomes are error codes.
 */
export interface MetricSpec {
  readonly kind: 'counter' | 'histogram' | 'gauge';
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN_SECONDS = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const OUTPUT_TOKEN_SECONDS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];

/** Those that the conventions require, and the pool. */
const GEN_AI_LABELS = [
  'subcloud_pool',
  'gen_ai_request_model',
  'gen_ai_operation_name',
  'gen_ai_provider_name',
] as const;

export const GATEWAY_METRICS = {
  gen_ai_server_request_duration_seconds: {
    kind: 'histogram',
    help: 'From the first byte of a request to the last of its answer.',
    labels: [...GEN_AI_LABELS, 'error_type'],
    buckets: SECONDS,
  },
  gen_ai_server_time_to_first_token_seconds: {
    kind: 'histogram',
    help: 'TTFT: from the request to the first byte of its answer.',
    labels: GEN_AI_LABELS,
    buckets: FIRST_TOKEN_SECONDS,
  },
  gen_ai_server_time_per_output_token_seconds: {
    kind: 'histogram',
    help: 'TPOT: time of an answer after its first byte, divided by its tokens after the first.',
    labels: GEN_AI_LABELS,
    buckets: OUTPUT_TOKEN_SECONDS,
  },
  subcloud_tokens_total: {
    kind: 'counter',
    help: 'Tokens that callers used, as the usage journal counts them.',
    labels: ['subcloud_pool', 'gen_ai_request_model', 'gen_ai_token_type'],
  },
  subcloud_requests_total: {
    kind: 'counter',
    help: 'Requests that ended, by outcome: `answered`, `engine_refused` or the error code.',
    labels: ['subcloud_pool', 'outcome'],
  },
  subcloud_attempts_total: {
    kind: 'counter',
    help: 'Tries on nodes, by outcome; more than requests where some were tried again.',
    labels: ['subcloud_pool', 'outcome'],
  },
  subcloud_dry_run_over_limit_total: {
    kind: 'counter',
    help: 'Requests that a limit in dry run would have refused, by whose limit and which; one request may count for several.',
    labels: ['subcloud_pool', 'scope', 'limit'],
  },
  subcloud_queue_seconds: {
    kind: 'histogram',
    help: 'How long requests waited for a place, also in vain; only of those that waited.',
    labels: ['subcloud_pool'],
    buckets: SECONDS,
  },
  subcloud_queue_requests: {
    kind: 'gauge',
    help: 'Requests that wait for a place; a pool in which none does has no series.',
    labels: ['subcloud_pool'],
  },
  subcloud_active_requests: { kind: 'gauge', help: 'Requests under way.', labels: [] },
  subcloud_buffered_bytes: { kind: 'gauge', help: 'Bytes of request bodies held.', labels: [] },
  subcloud_links: { kind: 'gauge', help: 'Nodes that are linked to this gateway.', labels: [] },
  subcloud_table_version: { kind: 'gauge', help: 'Version of the routing table in force.', labels: [] },
  subcloud_table_live: { kind: 'gauge', help: '1 while the lease lets this gateway serve, else 0.', labels: [] },
  subcloud_pool_members: { kind: 'gauge', help: 'Nodes that the table lets serve a pool.', labels: ['subcloud_pool'] },
  subcloud_trace_spans_total: {
    kind: 'counter',
    help: 'Spans by what became of them: `exported`, `failed` (the collector did not take them), `dropped` (no room to wait); only where traces are configured.',
    labels: ['outcome'],
  },
  subcloud_usage_pending: { kind: 'gauge', help: 'Usage records that control has not stored yet.', labels: [] },
} as const satisfies Readonly<Record<string, MetricSpec>>;

export type GatewayMetricName = keyof typeof GATEWAY_METRICS;

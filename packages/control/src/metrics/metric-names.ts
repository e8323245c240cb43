/** Every metric of control: name, kind, labels, unit in the name. Dashboards and docs are tested against this list. */
export interface MetricSpec {
  readonly kind: 'counter' | 'histogram' | 'gauge';
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

export const CONTROL_METRICS = {
  subcloud_nodes: {
    kind: 'gauge',
    help: 'Enrolled nodes: `online` have a link to some gateway.',
    labels: ['liveness'],
  },
  subcloud_memberships: {
    kind: 'gauge',
    help: 'Memberships by Subcloud and state; `global` is the global network.',
    labels: ['subcloud_pool', 'state'],
  },
  subcloud_published_table_version: { kind: 'gauge', help: 'Version of the table last published.', labels: [] },
  subcloud_reconcile_pass_seconds: {
    kind: 'histogram',
    help: 'How long a pass of the reconciler took, the writes of its results included.',
    labels: [],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  subcloud_reconcile_failures_total: {
    kind: 'counter',
    help: 'Passes that failed in the store and were tried again.',
    labels: [],
  },
  subcloud_api_requests_total: {
    kind: 'counter',
    help: 'Calls of the control API by action and HTTP status.',
    labels: ['action', 'status'],
  },
  subcloud_signing_certificate_expiry_seconds: {
    kind: 'gauge',
    help: 'Seconds until the certificate of a signing key ends, by state of the key (`active`, `next`); negative: it has ended.',
    labels: ['state'],
  },
} as const satisfies Readonly<Record<string, MetricSpec>>;

export type ControlMetricName = keyof typeof CONTROL_METRICS;

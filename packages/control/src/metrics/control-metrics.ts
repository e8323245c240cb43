/** What control counts of itself; gauges are read from the world when somebody asks. No names of people, no secrets. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { KeyStatus } from '../keys/key-ring.ts';
import { type World, isOnline } from '../world/world.ts';
import type { ControlSpans } from './control-spans.ts';
import { CONTROL_METRICS, type ControlMetricName, type MetricSpec } from './metric-names.ts';

/** Reached through a gateway, which passes it on for the addresses that may read its own page. */
export const CONTROL_METRICS_PATH = '/metrics/control';

export interface ControlMetrics {
  passed(tookMs: number): void;
  passFailed(): void;
  called(action: string, status: number): void;
  /** The page, in Prometheus' text format. */
  text(world: World, tableVersion: number, keys: readonly KeyStatus[], nowMs: number): Promise<string>;
  readonly contentType: string;
}

export function controlMetrics(spans?: Pick<ControlSpans, 'passed'>): ControlMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const options = (name: ControlMetricName) => {
    const { help, labels, buckets }: MetricSpec = CONTROL_METRICS[name];
    const labelNames = [...labels];
    return {
      name,
      help,
      labelNames,
      registers: [registry],
      ...(buckets === undefined ? {} : { buckets: [...buckets] }),
    };
  };
  const nodes = new Gauge(options('subcloud_nodes'));
  const memberships = new Gauge(options('subcloud_memberships'));
  const version = new Gauge(options('subcloud_published_table_version'));
  const passSeconds = new Histogram(options('subcloud_reconcile_pass_seconds'));
  const failures = new Counter(options('subcloud_reconcile_failures_total'));
  const calls = new Counter(options('subcloud_api_requests_total'));
  const expiry = new Gauge(options('subcloud_signing_certificate_expiry_seconds'));
  return {
    contentType: registry.contentType,
    passed(tookMs) {
      passSeconds.observe(tookMs / 1_000);
      spans?.passed(tookMs);
    },
    passFailed: () => failures.inc(),
    called: (action, status) => calls.inc({ action, status: String(status) }),
    text(world, tableVersion, keys, nowMs) {
      version.set(tableVersion);
      expiry.reset();
      for (const { state, notAfterMs } of keys)
        if (state !== 'retired' && notAfterMs !== null) expiry.set({ state }, (notAfterMs - nowMs) / 1_000);
      const online = [...world.nodes.keys()].filter((id) => isOnline(world, id)).length;
      nodes.set({ liveness: 'online' }, online);
      nodes.set({ liveness: 'offline' }, world.nodes.size - online);
      memberships.reset();
      for (const node of world.nodes.values()) {
        for (const [id, { state }] of node.memberships) {
          const subcloud_pool = world.subclouds.get(id)?.name;
          if (subcloud_pool !== undefined) memberships.inc({ subcloud_pool, state });
        }
      }
      return registry.metrics();
    },
  };
}

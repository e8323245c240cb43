/** Metrics, their documentation and the dashboard say the same: a renamed metric would leave a panel empty in silence. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CONTROL_METRICS } from '@subcloud/control/metrics/metric-names';
import { GATEWAY_METRICS } from '@subcloud/gateway/metrics/metric-names';
import { expect, test } from 'vitest';

interface Spec {
  readonly kind: string;
  readonly help: string;
  readonly labels: readonly string[];
}
/** Of prom-client's defaults those that the dashboard shows; the rest is for a dashboard of Node. */
const OF_THE_RUNTIME = {
  process_cpu_seconds_total: { kind: 'counter', help: '', labels: [] },
  process_resident_memory_bytes: { kind: 'gauge', help: '', labels: [] },
  nodejs_eventloop_lag_p99_seconds: { kind: 'gauge', help: '', labels: [] },
} as const;
const own: Readonly<Record<string, Spec>> = { ...GATEWAY_METRICS, ...CONTROL_METRICS };
const specs: Readonly<Record<string, Spec>> = { ...own, ...OF_THE_RUNTIME };
/** Labels that Prometheus adds. */
const ADDED_LABELS = ['instance', 'job', 'le'];

function file(path: string): string {
  return readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8');
}

interface Panel {
  readonly title: string;
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}
const { panels } = JSON.parse(file('deploy/grafana/subcloud.json')) as { readonly panels: readonly Panel[] };
const targets = panels.flatMap((panel) => panel.targets.map((target) => ({ panel: panel.title, ...target })));

/** Names of metrics in an expression, without what Prometheus appends to a histogram's. */
function namesIn(expr: string): string[] {
  return [...expr.matchAll(/\b(?:subcloud|gen_ai|process|nodejs)_[a-z_\d]+(?=[{[) ]|$)/g)]
    .map(([name]) => name)
    .filter((name) => !labelsIn(expr).includes(name))
    .map((name) => (specs[name] === undefined ? name.replace(/_(?:bucket|count|sum)$/, '') : name));
}

function labelsIn(expr: string): string[] {
  const grouped = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/));
  const matched = [...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, list = '']) =>
    [...list.matchAll(/([a-z_]+)(?:=~?|!=|!~)/g)].map(([, name = '']) => name),
  );
  return [...grouped, ...matched];
}

test('every metric stands in a panel, and every panel asks for metrics and labels that exist', () => {
  const shown = new Set(targets.flatMap(({ expr }) => namesIn(expr)));
  expect([...shown].filter((name) => specs[name] === undefined)).toEqual([]);
  expect(Object.keys(specs).filter((name) => !shown.has(name))).toEqual([]);
  for (const { panel, expr, legendFormat } of targets) {
    const known = new Set([...namesIn(expr).flatMap((name) => specs[name]?.labels ?? []), ...ADDED_LABELS]);
    const asked = [...labelsIn(expr), ...[...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, name = '']) => name)];
    expect(
      asked.filter((name) => !known.has(name)),
      panel,
    ).toEqual([]);
  }
});

test('rates are taken of counters and histograms alone', () => {
  for (const { panel, expr } of targets) {
    for (const [, inner = ''] of expr.matchAll(/rate\(([^)]*)\)/g)) {
      for (const name of namesIn(inner)) expect(specs[name]?.kind, `${panel}: ${name}`).not.toBe('gauge');
    }
  }
});

test('docs/metrics.md lists each metric with its kind, labels and meaning', () => {
  const page = file('docs/metrics.md');
  const rows = Object.entries(own).map(
    ([name, { kind, labels, help }]) => `| \`${name}\` | ${kind} | ${labels.join(', ')} | ${help} |`,
  );
  expect(page.split('\n').filter((line) => /^\| `(?:subcloud|gen_ai)_/.test(line))).toEqual(rows);
});

test('the checks above see a metric that nobody has', () => {
  expect(namesIn('rate(subcloud_gone_total{subcloud_pool="a"}[5m])')).toEqual(['subcloud_gone_total']);
  expect(labelsIn('sum by (le, gone) (x{other=~"y"})')).toEqual(['le', 'gone', 'other']);
});

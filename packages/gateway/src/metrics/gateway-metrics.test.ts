import type { DecisionRecord } from '@subcloud/contract/watch';
import { expect, test } from 'vitest';
import { gatewayMetrics } from './gateway-metrics.ts';

const GAUGES = {
  activeRequests: 0,
  bufferedBytes: 0,
  links: 0,
  tableVersion: 1,
  live: true,
  usagePending: 0,
  spans: undefined,
  waiting: new Map<string, number>(),
  members: new Map<string, number>(),
};

function record(pool: string, model: string, outcome: string): DecisionRecord {
  const attempt = { node: 'nod_a', tableVersion: 1, considered: [], outcome, startedAfterMs: 0, endedAfterMs: 1 };
  return {
    requestId: 'req_a',
    clientRequestId: null,
    atMs: 0,
    principal: null,
    pool,
    poolBy: 'path',
    revision: 1,
    effectiveHash: null,
    tableVersion: 1,
    model,
    candidates: 1,
    notTaken: {},
    attempts: [attempt],
    queuedMs: 1,
    outcome,
    status: 200,
    firstByteMs: 1,
    durationMs: 2,
  };
}

async function series(metrics: ReturnType<typeof gatewayMetrics>): Promise<string[]> {
  return (await metrics.text())
    .split('\n')
    .filter((line) => /^(subcloud|gen_ai)_/.test(line) && !/_bucket\{/.test(line));
}

test('pools and models that come and go leave a bounded number of series, and none of their requests uncounted', async () => {
  const metrics = gatewayMetrics(undefined, () => GAUGES);
  const requests = 6_000;
  for (let count = 0; count < requests; count += 1) {
    metrics.decided(record(`pool-${count}`, `model-${count}`, 'answered'), 'chat');
  }
  const lines = await series(metrics);
  // Three histograms by pool and model, each with a sum and a count; requests, attempts and two of the queue by pool.
  expect(lines.length).toBeLessThan(3 * 2 * 2_001 + 4 * 1_001 + 20);
  const total = (name: string): number =>
    lines.filter((line) => line.startsWith(`${name}{`)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  expect(total('subcloud_requests_total')).toBe(requests);
  expect(total('subcloud_attempts_total')).toBe(requests);
  expect(total('gen_ai_server_request_duration_seconds_count')).toBe(requests);
  expect(lines.some((line) => line.includes('subcloud_pool="other"'))).toBe(true);
});

test('of outcomes the word is a label, and neither a status, a reason nor what was not gone on with', async () => {
  const metrics = gatewayMetrics(undefined, () => GAUGES);
  for (const outcome of [
    'engine 418',
    'failed: link broke',
    'interrupted, not continued: tools',
    'refused: 503',
    'race',
  ])
    metrics.decided(record('global', 'one', outcome), 'chat');
  const outcomes = (await series(metrics))
    .filter((line) => line.startsWith('subcloud_attempts_total{'))
    .map((line) => /outcome="([^"]*)"/.exec(line)?.[1] ?? '');
  expect(outcomes.toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
    'engine_refused',
    'failed',
    'interrupted',
    'race',
    'refused',
  ]);
});

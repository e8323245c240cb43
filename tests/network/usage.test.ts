/** Usage for people: agrees with the gateway's journal to the token, is seen by whom it concerns, and outlives its records. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { openDatabase } from '@subcloud/control/store/database';
import { storeUsage } from '@subcloud/control/store/usage';
import { rollUpUsage } from '@subcloud/control/store/usage-report';
import type { UsageRecord } from '@subcloud/contract/watch';
import { silentLog } from '@subcloud/kit/log';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandLine } from './run-command.ts';

let network: TestNetwork;
const keys: Record<string, string> = {};
const MODELS = ['small', 'large,7b'];
const DAY_MS = 86_400_000;

beforeAll(async () => {
  network = await startTestNetwork();
  for (const id of ['user:ada', 'org:acme', 'team:acme/ml'] as const) keys[id] = await network.principal(id);
  const node = await network.node({ name: 'one', models: MODELS, consent: { autoJoin: 'all' } });
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'lab', owner: 'org:acme' },
    spec: { participation: { mode: 'open', autoJoin: true } },
  });
  for (const pool of ['global', 'lab']) await network.serving(pool, node);
  for (const [index, credential] of Object.values(keys).entries())
    for (const pool of ['', '/s/lab'])
      for (const model of MODELS)
        for (let count = 0; count <= index; count += 1) {
          const response = await fetch(`${network.url}${pool}/v1/chat/completions`, {
            method: 'POST',
            headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
            body: JSON.stringify({
              model,
              stream: count === 1,
              messages: [{ role: 'user', content: 'hello '.repeat(index + 1) }],
            }),
          });
          await response.text();
          if (response.status !== 200) throw new Error(`${response.status}`);
        }
  await eventually('control has all of the journal', async () => (await report()).requests === journal().length);
});
afterAll(() => network[Symbol.asyncDispose]());

function journal(): UsageRecord[] {
  const folder = join(network.dataDir, 'gateway', 'usage');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as UsageRecord);
}

type Total = { requests: number; promptTokens: number; completionTokens: number; estimated: number };
const NOTHING: Total = { requests: 0, promptTokens: 0, completionTokens: 0, estimated: 0 };
const plus = (a: Total, b: Total): Total => ({
  requests: a.requests + b.requests,
  promptTokens: a.promptTokens + b.promptTokens,
  completionTokens: a.completionTokens + b.completionTokens,
  estimated: a.estimated + b.estimated,
});
async function report(): Promise<Total> {
  const { items } = await network.admin.call('listUsage', { query: { by: 'model' } });
  return items.reduce<Total>(plus, NOTHING);
}

function groupOf(record: UsageRecord, group: string): string {
  const { principal, pool, model, atMs } = record;
  if (group === 'day') return new Date(atMs).toISOString().slice(0, 10);
  if (group === 'organisation') return principal.startsWith('user:') ? '' : 'org:acme';
  return { principal, subcloud: pool, model }[group] ?? '';
}

test.each([
  'day',
  'principal',
  'organisation',
  'subcloud',
  'model',
  'principal,subcloud,model',
  'day,organisation,model',
])('by %s it agrees with the journal of the gateway to the token, in pages of any size', async (by) => {
  const groups = ['day', 'principal', 'organisation', 'subcloud', 'model'].filter((group) =>
    by.split(',').includes(group),
  );
  const expected = new Map<string, Total>();
  for (const record of journal()) {
    const key = JSON.stringify(groups.map((group) => groupOf(record, group)));
    const { promptTokens, completionTokens, estimated } = record;
    const one = { requests: 1, promptTokens, completionTokens, estimated: estimated ? 1 : 0 };
    expected.set(key, plus(expected.get(key) ?? NOTHING, one));
  }
  for (const limit of [1, 2, 200]) {
    const seen = new Map<string, Total>();
    for (let cursor: string | null = null; ; ) {
      const query: { by: string; limit: number; cursor?: string } = {
        by,
        limit,
        ...(cursor === null ? {} : { cursor }),
      };
      const page: { items: readonly (Total & Record<string, unknown>)[]; next: string | null } =
        await network.admin.call('listUsage', { query });
      for (const item of page.items) {
        const { requests, promptTokens, completionTokens, estimated } = item;
        const key = JSON.stringify(groups.map((group) => item[group]));
        expect(seen.has(key)).toBe(false);
        seen.set(key, { requests, promptTokens, completionTokens, estimated });
      }
      if (page.next === null) break;
      cursor = page.next;
    }
    expect(seen).toEqual(expected);
  }
  expect(expected.size).toBeGreaterThan(0);
});

test('everybody sees the own, an owner all of its Subclouds, the admin everything; nobody else anything', async () => {
  const seenBy = async (id: string): Promise<string[]> => {
    const credential = keys[id] ?? (await network.principal(id as 'user:x'));
    const { items } = await network.client(credential).call('listUsage', { query: { by: 'principal,subcloud' } });
    return items.map(({ principal, subcloud }) => `${principal} in ${subcloud}`);
  };
  expect(await seenBy('user:ada')).toEqual(['user:ada in global', 'user:ada in lab']);
  expect(await seenBy('org:acme')).toEqual(
    expect.arrayContaining(['org:acme in global', 'org:acme in lab', 'user:ada in lab', 'team:acme/ml in lab']),
  );
  expect(await seenBy('org:acme')).not.toContain('user:ada in global');
  expect(await seenBy('user:nobody')).toEqual([]);
});

test('as a table, as CSV and as JSON', async () => {
  const ada = commandLine(network, keys['user:ada'] ?? '');
  const { items } = await ada.json<{ items: object[] }>('usage', '--by', 'model');
  expect(items).toHaveLength(2);
  const { stdout } = await ada('usage', '--by', 'model', '--csv');
  expect(stdout.split('\r\n')[0]).toBe('model,requests,promptTokens,completionTokens,estimated');
  expect(stdout).toContain('"large,7b",2,');
  expect((await ada('usage', '--by', 'day')).stdout).toMatch(/^DAY +REQUESTS/);
  expect((await ada('usage', '--by', 'colour')).exitCode).toBe(1);
});

test('after 35 days it is summed by day: every sum stays, and a batch that comes again adds nothing', async () => {
  const before = await report();
  const db = openDatabase(network.databaseUrl, silentLog);
  try {
    const nowMs = network.clock.nowMs();
    await rollUpUsage(db, nowMs);
    expect(await db.selectFrom('usage_days').select('day').execute()).toEqual([]);
    await rollUpUsage(db, nowMs + 37 * DAY_MS);
    expect(await db.selectFrom('usage').select('sequence').execute()).toEqual([]);
    expect(await report()).toEqual(before);
    const { gateway } = await db.selectFrom('usage_rolled').select('gateway').executeTakeFirstOrThrow();
    await storeUsage(db, { gateway, records: journal() });
    await rollUpUsage(db, nowMs + 38 * DAY_MS);
    expect(await report()).toEqual(before);
  } finally {
    await db.destroy();
  }
});

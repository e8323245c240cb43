import { eventually } from '@subcloud/testkit/eventually';
import { MODEL, type TestGateway, sendJson, startTestGateway } from '@subcloud/testkit/test-gateway';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RetryBudget } from './retry-budget.ts';

/** Requests of one pool, each `gapMs` after the one before, all of which would be tried again twice. */
function load(budget: RetryBudget, gaps: readonly number[], pool = 'lab'): { retries: number; tookMs: number } {
  let nowMs = 0;
  let retries = 0;
  for (const gapMs of gaps) {
    nowMs += gapMs;
    budget.sent(pool, nowMs);
    for (let again = 0; again < 2 && budget.take(pool, nowMs); again += 1) retries += 1;
  }
  return { retries, tookMs: nowMs };
}

test('further tries are a fifth of the requests and ten a second at most, whatever comes; never fewer where few fail', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 2_000 }), (gaps) => {
      const { retries, tookMs } = load(new RetryBudget(), gaps);
      expect(retries).toBeLessThanOrEqual(100 + 0.2 * gaps.length + tookMs / 100 + 1);
      expect(retries).toBeGreaterThanOrEqual(Math.min(100, 2 * gaps.length));
    }),
    { numRuns: 100 },
  );
});

test('times that are told late, in whatever order, earn no more than the time that has passed', () => {
  const time = fc.integer({ min: 0, max: 60_000 });
  fc.assert(
    fc.property(fc.array(fc.tuple(time, time), { minLength: 1, maxLength: 1_000 }), (told) => {
      const budget = new RetryBudget();
      let retries = 0;
      for (const [sentMs, takenMs] of told) {
        budget.sent('lab', sentMs);
        while (budget.take('lab', takenMs)) retries += 1;
      }
      const times = told.flat();
      const passedMs = Math.max(...times) - Math.min(...times);
      expect(retries).toBeLessThanOrEqual(100 + 0.2 * told.length + passedMs / 100 + 1);
    }),
    { numRuns: 100 },
  );
});

test('one pool has nothing of what another has not used', () => {
  const budget = new RetryBudget();
  load(budget, Array<number>(1_000).fill(0));
  expect(budget.take('lab', 0)).toBe(false);
  expect(budget.take('den', 0)).toBe(true);
});

async function failing(t: TestGateway, requests: number): Promise<{ tries: number; tookMs: number }> {
  let tries = 0;
  for (let count = 0; count < 2; count += 1)
    await t.node({
      handler(stream) {
        tries += 1;
        // Tries take time, in which others are begun.
        setTimeout(() => sendJson(stream, 500, { error: { message: 'no' } }), 20);
      },
    });
  const startedMs = performance.now();
  for (let left = requests; left > 0; left -= 50)
    for (const { status } of await Promise.all(Array.from({ length: Math.min(50, left) }, () => t.call())))
      expect([status, MODEL]).toEqual([500, MODEL]);
  return { tries, tookMs: performance.now() - startedMs };
}

test('where all of a pool fails its requests are not tried twice each, and the decision says why', async () => {
  await using t = await startTestGateway();
  const { tries, tookMs } = await failing(t, 400);
  // However long it takes: what the clock has earned meanwhile is in the bound.
  expect(tries).toBeLessThanOrEqual(400 + 100 + 80 + tookMs / 100 + 1);
  expect(tries).toBeGreaterThanOrEqual(500);
  const last = t.control.decisions.flatMap(({ attempts }) => attempts.map(({ outcome }) => outcome));
  expect(last.some((outcome) => outcome.includes('retries of the pool are spent'))).toBe(true);
}, 60_000);

test('where nobody else could answer there was no further try to refuse', async () => {
  await using t = await startTestGateway();
  await t.node({ handler: (stream) => sendJson(stream, 500, { error: { message: 'no' } }) });
  for (let left = 300; left > 0; left -= 50) await Promise.all(Array.from({ length: 50 }, () => t.call()));
  const told = await eventually('all decisions', () =>
    t.control.decisions.length >= 300 ? t.control.decisions : undefined,
  );
  const words = told.flatMap(({ attempts }) => attempts.map(({ outcome }) => outcome));
  expect(words.length).toBeGreaterThan(200);
  expect(words.filter((word) => word.includes('spent'))).toEqual([]);
}, 60_000);

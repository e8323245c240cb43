import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EJECTION_MS, Health, SLOW_START_MS } from './health.ts';

const fail = (health: Health, times: number, atMs: number): void => {
  for (let count = 0; count < times; count += 1) health.failed(atMs);
};

test('five failures in a row eject, four do not, and a success between them starts the count anew', () => {
  const health = new Health();
  fail(health, 4, 0);
  health.succeeded(0);
  fail(health, 4, 0);
  expect(health.healthy(0)).toBe(true);
  health.failed(0);
  expect([health.healthy(0), health.healthy(EJECTION_MS - 1)]).toEqual([false, false]);
});

test('half of many recent failures eject although none stand together', () => {
  const health = new Health();
  for (let count = 0; count < 20; count += 1) {
    if (count % 2 === 0) health.succeeded(count);
    else health.failed(count);
  }
  expect(health.ejected).toBe(true);
});

test('half open: one trial at a time; its failure ejects for twice as long, its success lets back slowly', () => {
  const health = new Health();
  fail(health, 5, 0);
  health.sent(EJECTION_MS);
  expect(health.healthy(EJECTION_MS)).toBe(false);
  health.failed(EJECTION_MS);
  expect([health.healthy(EJECTION_MS * 3 - 1), health.healthy(EJECTION_MS * 3)]).toEqual([false, true]);
  health.sent(EJECTION_MS * 3);
  health.unjudged();
  expect(health.healthy(EJECTION_MS * 3)).toBe(true);
  health.sent(EJECTION_MS * 3);
  health.succeeded(EJECTION_MS * 3);
  expect([health.ejected, health.healthy(EJECTION_MS * 3)]).toEqual([false, true]);
  const factors = [0, 0.5, 1].map((share) => health.loadFactor(EJECTION_MS * 3 + share * SLOW_START_MS));
  expect(factors[0]).toBeCloseTo(10);
  expect(factors[1]).toBeCloseTo(Math.sqrt(10));
  expect(factors[2]).toBe(1);
});

/** What the rules say, looked up in the whole history each time. */
class Naive {
  readonly history: { readonly failed: boolean; readonly atMs: number }[] = [];
  #since = 0;
  #run = 0;
  #ejections = 0;
  #backMs = Number.NEGATIVE_INFINITY;
  untilMs: number | undefined;

  event(failed: boolean, atMs: number): void {
    this.history.push({ failed, atMs });
    if (!failed) {
      this.#run = 0;
      if (this.untilMs === undefined || atMs < this.untilMs) return;
      this.untilMs = undefined;
      this.#backMs = atMs;
      this.#since = this.history.length;
      return;
    }
    this.#run += 1;
    if (this.untilMs === undefined ? this.#run >= 5 || this.#often(atMs) : atMs >= this.untilMs) {
      if (this.untilMs === undefined && atMs - this.#backMs > 120_000) this.#ejections = 0;
      this.untilMs = atMs + Math.min(60_000, 5_000 * 2 ** this.#ejections);
      this.#ejections += 1;
      this.#run = 0;
    }
  }

  #often(nowMs: number): boolean {
    let samples = 0;
    let failures = 0;
    for (const { failed, atMs } of this.history.slice(this.#since)) {
      const weight = Math.exp(-(nowMs - atMs) / 10_000);
      samples += weight;
      if (failed) failures += weight;
    }
    return samples >= 10 && failures >= 0.5 * samples;
  }
}

test('over any history it is as the rules say', () => {
  const event = fc.record({ failed: fc.boolean(), afterMs: fc.oneof(fc.nat(50), fc.nat(10_000)) });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 150 }), (events) => {
      const health = new Health();
      const naive = new Naive();
      let nowMs = 1;
      for (const { failed, afterMs } of events) {
        nowMs += afterMs;
        if (failed) health.failed(nowMs);
        else health.succeeded(nowMs);
        naive.event(failed, nowMs);
        expect([health.ejected, health.healthy(nowMs)]).toEqual([
          naive.untilMs !== undefined,
          naive.untilMs === undefined || nowMs >= naive.untilMs,
        ]);
      }
    }),
    { numRuns: 300 },
  );
});

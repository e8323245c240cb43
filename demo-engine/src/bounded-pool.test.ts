import { expect, test } from 'vitest';
import { BoundedPool } from './bounded-pool.ts';

const never = new AbortController().signal;

test('who waits is served in the order of arrival, as things become free', async () => {
  const pool = new BoundedPool(['only'], 8);
  const order: number[] = [];
  const first = await pool.acquire(never);
  const others = [1, 2, 3].map(async (number) => {
    using turn = await pool.acquire(never);
    order.push(number);
    expect(turn.item).toBe('only');
  });
  first[Symbol.dispose]();
  await Promise.all(others);
  expect(order).toEqual([1, 2, 3]);
});

test('a full line is refused at once with 429', async () => {
  const pool = new BoundedPool(['only'], 1);
  using _held = await pool.acquire(never);
  const waiting = new AbortController();
  const second = pool.acquire(waiting.signal).catch(() => 'left the line');
  await expect(pool.acquire(never)).rejects.toMatchObject({ status: 429 });
  waiting.abort();
  expect(await second).toBe('left the line');
});

test('a caller that leaves the line costs nobody a turn', async () => {
  const pool = new BoundedPool(['only'], 2);
  const held = await pool.acquire(never);
  const leaving = new AbortController();
  const left = pool.acquire(leaving.signal).catch(() => 'left');
  const next = pool.acquire(never);
  leaving.abort();
  held[Symbol.dispose]();
  expect((await next).item).toBe('only');
  expect(await left).toBe('left');
});

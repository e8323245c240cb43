import { virtualClock } from '@subcloud/testkit/virtual-clock';
import { expect, test } from 'vitest';
import { addressBlock, attemptLimit, signInLimits } from './attempt-limits.ts';

test('a limit holds within its window and opens after it, key by key', () => {
  const clock = virtualClock();
  const limit = attemptLimit(clock, 2, 1_000);
  expect([limit.take('a'), limit.take('a'), limit.take('a'), limit.take('b')]).toEqual([
    undefined,
    undefined,
    1,
    undefined,
  ]);
  limit.forgive('a');
  expect([limit.take('a'), limit.take('a')]).toEqual([undefined, 1]);
  clock.advance(1_000);
  expect(limit.take('a')).toBe(undefined);
});

test('it holds no more than ten thousand keys, and forgets the oldest first', () => {
  const limit = attemptLimit(virtualClock(), 1, 1_000);
  limit.take('oldest');
  for (let index = 0; index < 9_998; index += 1) limit.take(`k${index}`);
  limit.take('newest');
  expect([limit.take('oldest'), limit.take('newest')]).toEqual([1, 1]);
  limit.take('one more');
  expect([limit.take('newest'), limit.take('oldest')]).toEqual([1, undefined]);
});

test('all addresses of one /64 are one, however they are written, and IPv4 addresses are each their own', () => {
  const same = ['2001:db8::1', '2001:db8::ffff:1:2:3', '2001:0db8:0000:0000:a:b:c:d', '2001:DB8:0:0::9'];
  expect(new Set(same.map(addressBlock)).size).toBe(1);
  expect(addressBlock('2001:db8:0:1::1')).not.toBe(addressBlock('2001:db8::1'));
  expect(addressBlock('::ffff:192.0.2.1')).toBe(addressBlock('192.0.2.1'));
  expect(addressBlock('192.0.2.2')).not.toBe(addressBlock('192.0.2.1'));
});

test('one address cannot lock an account for others, many together cannot guess on', () => {
  const limits = signInLimits(virtualClock());
  for (let index = 0; index < 5; index += 1) expect(limits.take('ann', '192.0.2.1')).toBe(undefined);
  expect(limits.take('ann', '192.0.2.1')).toBeGreaterThan(0);
  expect(limits.take('ann', '192.0.2.2')).toBe(undefined);
  let tried = 6;
  for (let host = 3; host < 250 && limits.take('ann', `192.0.2.${host}`) === undefined; host += 1) tried += 1;
  expect(tried).toBe(50);
});

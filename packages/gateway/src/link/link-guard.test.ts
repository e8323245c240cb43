import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LinkGuard } from './link-guard.ts';

test('an honest agent is never cut: any answers in frames of 40 bytes or more, a head an answer, heartbeats', () => {
  const second = fc.record({
    answers: fc.nat(2_000),
    frames: fc.nat(20_000),
    frameBytes: fc.integer({ min: 40, max: 16_384 }),
  });
  fc.assert(
    fc.property(fc.array(second, { minLength: 1, maxLength: 50 }), (seconds) => {
      const socket = { bytesRead: 0 };
      const guard = new LinkGuard(socket);
      for (const { answers, frames, frameBytes } of seconds) {
        socket.bytesRead += answers * 150 + frames * (frameBytes + 9) + 500;
        guard.usefulBytes += answers * 1_024 + frames * frameBytes;
        guard.lines += 3;
        expect(guard.excess(1_000)).toBeUndefined();
      }
    }),
  );
});

test('frames that are of no use are noticed within seconds at any rate that costs, and slow ones are let be', () => {
  const secondsUntil = (bytesASecond: number): number => {
    const socket = { bytesRead: 0 };
    const guard = new LinkGuard(socket);
    for (let second = 1; second <= 600; second++) {
      socket.bytesRead += bytesASecond;
      if (guard.excess(1_000) === 'frames') return second;
    }
    return Number.POSITIVE_INFINITY;
  };
  expect(secondsUntil(10_000_000)).toBe(1);
  expect(secondsUntil(1_000_000)).toBeLessThanOrEqual(6);
  expect(secondsUntil(200_000)).toBe(Number.POSITIVE_INFINITY);
});

test('lines are noticed too, though every byte of them is read', () => {
  const guard = new LinkGuard({ bytesRead: 0 });
  guard.lines += 2_000;
  expect(guard.excess(1_000)).toBe('lines');
});

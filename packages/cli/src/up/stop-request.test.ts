import { systemClock } from '@subcloud/kit/clock';
import { expect, test } from 'vitest';
import { listenForStop } from './stop-request.ts';

function signals() {
  const listeners = new Map<string, () => void>();
  return {
    onSignal: (signal: string, listener: () => void) => {
      listeners.set(signal, listener);
      return () => listeners.delete(signal);
    },
    send: (signal: string) => listeners.get(signal)?.(),
    listeners,
  };
}

test('the echo of one Ctrl-C is no second wish, a later one is', async () => {
  const host = signals();
  let nowMs = 1_000;
  let forced = 0;
  const stop = listenForStop(host, { ...systemClock, monotonicMs: () => nowMs }, () => (forced += 1));
  const asked = stop.asked();
  expect(stop.signal.aborted).toBe(false);
  host.send('SIGINT');
  nowMs += 5;
  host.send('SIGINT');
  host.send('SIGTERM');
  await asked;
  expect(stop.signal.aborted).toBe(true);
  expect(forced).toBe(0);
  nowMs += 2_000;
  host.send('SIGINT');
  expect(forced).toBe(1);
  stop.dispose();
  expect(host.listeners.size).toBe(0);
});

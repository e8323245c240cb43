/**
 * What a short request costs at one fixed rate, whoever answers it. In the closed loop of the other works each contender
 * gets as many requests as it can take: who takes ten times more finds ten at a time at each look, and pays for that look once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contender, Target } from './contenders.ts';
import { OpenLoop } from './latency.ts';
import { cpuUs } from './processes.ts';

export const AT_RATE_PER_SECOND = 500;
const TURNS = 4;
/** What a gateway does after the answer (usage, decisions) is its cost too. */
const SETTLE_MS = 700;

/** Microseconds of CPU a request. Throws when any answer was an error. */
export async function measureAtRate(
  targets: readonly Target[],
  key: string,
): Promise<Partial<Record<Contender, number>>> {
  const loops = targets.map((target) => ({ target, loop: new OpenLoop(target.url, key), spentUs: 0 }));
  for (const { loop } of loops) await loop.turn(AT_RATE_PER_SECOND, false);
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (const one of loops) {
      await sleep(SETTLE_MS);
      const before = cpuUs(one.target.pid);
      await one.loop.turn(AT_RATE_PER_SECOND, true);
      await sleep(SETTLE_MS);
      one.spentUs += cpuUs(one.target.pid) - before;
    }
  }
  return Object.fromEntries(
    loops.map(({ target, loop, spentUs }) => {
      loop.close();
      if (loop.errors > 0) throw new Error(`${target.name}: ${loop.errors} answers were errors`);
      return [target.name, Math.round((spentUs / loop.timesMs.length) * 10) / 10];
    }),
  );
}

/**
 * `npm run simulate -- --hours 8 --seed N --steps 1000`: one run after the other, each of its own seed, counted up from the
 * first. Stops at the first that fails, prints its seed, and ends with one JSON line. The same seed and steps are the same run.
 */
import { parseArgs } from 'node:util';
import { systemClock } from '@subcloud/kit/clock';
import { Simulation } from './simulation.ts';

const { values } = parseArgs({
  options: {
    hours: { type: 'string', default: '0.0166' },
    seed: { type: 'string', default: '1' },
    steps: { type: 'string', default: '1000' },
    runs: { type: 'string', default: '0' },
  },
});
const [hours, firstSeed, steps, runs] = [values.hours, values.seed, values.steps, values.runs].map(Number);
if (![hours, firstSeed, steps, runs].every((value) => value !== undefined && Number.isFinite(value) && value >= 0)) {
  throw new Error('--hours, --seed, --steps and --runs take numbers');
}
const startMs = systemClock.monotonicMs();
const endMs = startMs + (hours ?? 0) * 3_600_000;
const REPORT_MS = 10_000;
const seen: Record<string, number> = {};
let reportedMs = startMs;
let done = 0;
for (let seed = firstSeed ?? 1; ; seed += 1) {
  if ((runs ?? 0) > 0 ? done >= (runs ?? 0) : systemClock.monotonicMs() >= endMs) break;
  const simulation = new Simulation(seed);
  try {
    await simulation.run(steps ?? 1_000);
    await simulation.settle();
  } catch (error) {
    process.stderr.write(
      `seed ${seed} fails; again: npm run simulate -- --seed ${seed} --steps ${steps} --runs 1\n${String(error)}\n`,
    );
    process.stdout.write(`${JSON.stringify({ failed: seed, steps, runs: done })}\n`);
    process.exitCode = 1;
    break;
  }
  done += 1;
  for (const [what, count] of Object.entries(simulation.witness.seen)) seen[what] = (seen[what] ?? 0) + count;
  const nowMs = systemClock.monotonicMs();
  if (nowMs - reportedMs < REPORT_MS) continue;
  reportedMs = nowMs;
  process.stderr.write(
    `${done} runs, ${Math.round((done * (steps ?? 0) * 1_000) / (nowMs - startMs))} steps a second\n`,
  );
}
const seconds = (systemClock.monotonicMs() - startMs) / 1_000;
process.stdout.write(
  `${JSON.stringify({ runs: done, steps: done * (steps ?? 0), stepsPerSecond: Math.round((done * (steps ?? 0)) / seconds), seen })}\n`,
);

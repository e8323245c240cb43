/**
 * `npm run simulate -- --hours 8 --seed N --steps 5000`: one run after the other, each of its own seed, counted up from the
 * first, which is drawn where none is given. Stops at the first that fails, prints its seed, and ends with one JSON line.
 * The same seed and steps are the same run.
 *
 * A step is one event: a message that arrives, a timer that fires, an answer of the store, an act or a fault; the promises are
 * looked at after each. `acts` are what people and faults did, most of them many events.
 */
import { parseArgs } from 'node:util';
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { Simulation } from './simulation.ts';

const STEPS = 5_000;
const HELP = `npm run simulate -- [--hours H] [--runs N] [--seed N] [--steps N]
  --hours  how long, in hours (default 0.0166, a minute); --runs N: so many runs instead
  --seed   of the first run, counted up from there (default: drawn, and printed)
  --steps  events of a run (default ${STEPS})
`;

const { values } = parseArgs({
  options: {
    hours: { type: 'string', default: '0.0166' },
    seed: { type: 'string', default: String(Math.floor(systemRandom() * 2 ** 31)) },
    steps: { type: 'string', default: String(STEPS) },
    runs: { type: 'string', default: '0' },
    help: { type: 'boolean', default: false },
  },
});
const [hours, firstSeed, steps, runs] = [values.hours, values.seed, values.steps, values.runs].map(Number);
if (![hours, firstSeed, steps, runs].every((value) => value !== undefined && Number.isFinite(value) && value >= 0)) {
  throw new Error('--hours, --seed, --steps and --runs take numbers');
}
const startMs = systemClock.monotonicMs();
const startCpu = process.cpuUsage();
const endMs = startMs + (hours ?? 0) * 3_600_000;
const REPORT_MS = 10_000;
const seen: Record<string, number> = {};
const store: Record<string, number> = {};
let reportedMs = startMs;
let [done, events, acts] = [0, 0, 0];

/** Events a second: by the clock on the wall, and by what this process had of a core. */
function speed(): { stepsPerSecond: number; stepsPerCpuSecond: number } {
  const { user, system } = process.cpuUsage(startCpu);
  const seconds = (systemClock.monotonicMs() - startMs) / 1_000;
  return {
    stepsPerSecond: Math.round(events / seconds),
    stepsPerCpuSecond: Math.round((events * 1_000_000) / (user + system)),
  };
}

function add(into: Record<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [what, count] of Object.entries(counts)) into[what] = (into[what] ?? 0) + count;
}

process.stderr.write(values.help ? HELP : `seed ${firstSeed}\n`);
for (let seed = firstSeed ?? 1; !values.help; seed += 1) {
  if ((runs ?? 0) > 0 ? done >= (runs ?? 0) : systemClock.monotonicMs() >= endMs) break;
  const simulation = new Simulation(seed);
  try {
    await simulation.run(steps ?? STEPS);
    await simulation.settle();
  } catch (error) {
    process.stderr.write(
      `${simulation.history.slice(-20).join('\n')}\nseed ${seed} fails; again: npm run simulate -- --seed ${seed} --steps ${steps} --runs 1\n${String(error)}\n`,
    );
    process.stdout.write(`${JSON.stringify({ failed: seed, steps, runs: done })}\n`);
    process.exitCode = 1;
    break;
  }
  done += 1;
  events += simulation.steps;
  acts += simulation.acts;
  add(seen, simulation.witness.seen);
  add(store, simulation.store.seen);
  const nowMs = systemClock.monotonicMs();
  if (nowMs - reportedMs < REPORT_MS) continue;
  reportedMs = nowMs;
  process.stderr.write(`${done} runs, ${speed().stepsPerSecond} steps a second\n`);
}
if (!values.help)
  process.stdout.write(`${JSON.stringify({ runs: done, steps: events, acts, ...speed(), seen, store })}\n`);

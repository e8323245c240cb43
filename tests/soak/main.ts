/**
 * `npm run soak [-- --minutes 60] [--seed N] [--per-second 40] [--plant gateway=heap:1024]`: heap, sockets and timers under mixed load.
 * Progress and plots go to stderr; the last line, on stdout, is one JSON object.
 */
import { parseArgs } from 'node:util';
import { progress, table } from './report.ts';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string' },
    'per-second': { type: 'string', default: '40' },
    'sample-seconds': { type: 'string', default: '20' },
    plant: { type: 'string', default: '' },
    json: { type: 'boolean' },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const numbers = [values.minutes, values['per-second'], values['sample-seconds']].map(Number);
if (!numbers.every((number) => number > 0) || !Number.isSafeInteger(seed))
  throw new Error('--minutes, --per-second and --sample-seconds take numbers above 0, --seed a whole number');
const [minutes = 0, perSecond = 0, sampleSeconds = 0] = numbers;
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const startedMs = performance.now();
let told = 0;
const ending = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ending.abort());
say(`soak: ${minutes} minutes, ${perSecond} requests a second, seed ${seed}`);
try {
  const soaked = await soak({
    minutes,
    seed,
    perSecond,
    sampleEveryMs: sampleSeconds * 1_000,
    plant: values.plant,
    signal: ending.signal,
    tell(sample, load) {
      say(progress(sample, load, startedMs));
      for (const fault of load.faults.slice(told)) say(`  ${fault}`);
      told = load.faults.length;
    },
  });
  const {
    requests,
    abandoned,
    backgroundRounds,
    answersCounted,
    byKind,
    samples,
    lines,
    faults,
    leaks,
    unsure,
    missed,
  } = soaked;
  for (const [name, count] of [...byKind].toSorted(([, a], [, b]) => b - a))
    say(`${String(count).padStart(8)} ${name}`);
  say(table(soaked));
  for (const fault of faults) say(fault);
  for (const measure of missed) say(`the planted leak was not found by ${measure}`);
  const passed = faults.length + leaks.length + unsure.length + missed.length === 0;
  const parts = Object.fromEntries(
    [...(samples[0]?.inUse.keys() ?? [])].map((part) => [
      part,
      Object.fromEntries(
        lines
          .filter((line) => line.part === part)
          .map(({ measure, grown, atMost, allowed, verdict, values: all }) => [
            measure,
            { first: all[0], last: all.at(-1), grown, atMost, allowed, verdict },
          ]),
      ),
    ]),
  );
  const result = {
    seed,
    minutes,
    requests,
    abandoned,
    answersCounted,
    backgroundRounds,
    faults: faults.length,
    missed,
    parts,
    passed,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
  if (!passed) process.exitCode = 1;
} catch (error) {
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.stdout.write(`${JSON.stringify({ seed, minutes, passed: false })}\n`);
  process.exitCode = 1;
}

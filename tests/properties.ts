/**
 * `npm run properties -- --rounds 20 --from 1`: all properties, drawn anew each round. The gate draws the same every time,
 * so what is rare is looked for here. Stops at the first round that fails and says how to draw it again; the last line, on
 * stdout, is one JSON object.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '20' }, from: { type: 'string', default: '1' } },
});
const [rounds, from] = [Number(values.rounds), Number(values.from)];
if (![rounds, from].every((value) => Number.isSafeInteger(value) && value >= 1))
  throw new Error('--rounds and --from take whole numbers from 1 on');

const vitest = 'node_modules/vitest/vitest.mjs';
const files = globSync('{packages/*/src,tests}/**/*.test.ts')
  .filter((path) => readFileSync(path, 'utf8').includes("from 'fast-check'"))
  .sort();

async function round(seed: number): Promise<boolean> {
  const child = spawn(process.execPath, [vitest, 'run', ...files], {
    env: { ...process.env, SUBCLOUD_PROPERTY_SEED: String(seed) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (text) => (said += String(text)));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) process.stderr.write(said);
  return code === 0;
}

let [done, failed]: [number, number | null] = [0, null];
for (; done < rounds && failed === null; done += 1) {
  const seed = from + done;
  process.stderr.write(`round ${done + 1} of ${rounds}: ${files.length} files\n`);
  if (await round(seed)) continue;
  failed = seed;
  process.stderr.write(`again: SUBCLOUD_PROPERTY_SEED=${seed} npx vitest run FILE\n`);
  process.exitCode = 1;
}
process.stdout.write(`${JSON.stringify({ rounds: done, files: files.length, from, failed })}\n`);

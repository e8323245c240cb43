/** `npm run crash -- --rounds 10`: kill -9 of every part under load, one after the other and all at once, so many rounds. */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' } } });
const rounds = Number(values.rounds);
if (!Number.isSafeInteger(rounds) || rounds < 1) {
  throw new Error('--rounds takes a whole number from 1 on');
}
const { status } = spawnSync('npx', ['vitest', 'run', '--maxWorkers=1', 'tests/crash/kill-under-load.test.ts'], {
  stdio: 'inherit',
  env: { ...process.env, SUBCLOUD_CRASH_ROUNDS: String(rounds) },
});
process.exitCode = status ?? 1;

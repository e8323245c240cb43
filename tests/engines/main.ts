/**
 * `npm run test:engines [-- --record]`: the suite of this folder on a real llama.cpp server. Ends with the suite's own exit
 * code; with 2, and what was tried, where no server is to be had. `--record` writes what the server answered to
 * packages/agent/fixtures, from where the tests of every run replay it.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { findLlamaServer } from './find-llama-server.ts';

/** Neither passed nor failed. */
const COULD_NOT_RUN = 2;
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const found = await findLlamaServer(process.env, say);
if ('tried' in found) {
  say('could not run: there is no llama.cpp server here.');
  for (const line of found.tried) say(`  ${line}`);
  say('Set LLAMA_SERVER to the path of a llama-server, or install one and put it on the PATH.');
  process.exitCode = COULD_NOT_RUN;
} else {
  say(`llama-server: ${found.path} (${found.from})`);
  const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
  const config = fileURLToPath(new URL('vitest.config.ts', import.meta.url));
  const { status } = spawnSync(process.execPath, [vitest, 'run', '--config', config], {
    stdio: 'inherit',
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: {
      ...process.env,
      LLAMA_SERVER: found.path,
      ...(process.argv.includes('--record') ? { SUBCLOUD_RECORD: '1' } : {}),
    },
  });
  process.exitCode = status ?? 1;
}

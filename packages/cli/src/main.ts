#!/usr/bin/env node
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { runCli } from './run-cli.ts';

/** 128 + SIGPIPE, as a shell tells of who was ended by it. */
const READER_GONE = 141;
// `subcloud schema | head`: whoever reads has enough, which is no fault to tell of.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(READER_GONE);
  throw error;
});

process.exitCode = await runCli({
  argv: process.argv.slice(2),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  clock: systemClock,
  random: systemRandom,
  // A child may hold the process back after everything of ours is closed; what was asked for is done.
  endNow: (code) => process.exit(code),
  onSignal: (signal, listener) => {
    process.on(signal, listener);
    return () => process.off(signal, listener);
  },
});

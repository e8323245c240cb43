/**
 * The agent alone: what `/agent.mjs` is bundled from, for a machine that has nothing of this project but a Node. Same
 * options, words and exit codes as `subcloud agent`.
 */
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { Command, CommanderError } from 'commander';
import { Cli } from '../command.ts';
import { addAgent } from '../commands/agent.ts';

const cli = new Cli({
  argv: process.argv.slice(2),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  clock: systemClock,
  random: systemRandom,
  endNow: (code) => process.exit(code),
  onSignal: (signal, listener) => {
    process.on(signal, listener);
    return () => process.off(signal, listener);
  },
});
const program = new Command('node').enablePositionalOptions().exitOverride();
addAgent(program, cli);
for (const command of program.commands) command.name('agent.mjs');
try {
  await program.parseAsync(['agent.mjs', ...cli.host.argv], { from: 'user' });
  process.exitCode = cli.failed ? 1 : cli.exitCode;
} catch (error) {
  // Commander has told what is wrong with the command line, or has shown the help that was asked for.
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode;
}

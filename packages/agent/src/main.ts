/** The agent as a process of its own: flags and environment in, one line when it is ready, SIGTERM to drain. */
import { parseArgs } from 'node:util';
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { createLog } from '@subcloud/kit/log';
import { agentOptions } from './config.ts';
import { runAgent } from './run.ts';

try {
  const options = Object.fromEntries(Object.keys(agentOptions).map((name) => [name, { type: 'string' as const }]));
  const { values } = parseArgs({ options, args: process.argv.slice(2).map(camelCase) });
  const config = loadConfig(agentOptions, { flags: values, env: process.env });
  const starting = new AbortController();
  const agent = runAgent({
    config,
    clock: systemClock,
    random: systemRandom,
    log: createLog('agent', config.logLevel),
    signal: starting.signal,
  });
  const stop = (): void => {
    starting.abort(new Error('stopped'));
    agent
      .then((running) => running.stop())
      .then(
        () => process.exit(0),
        () => process.exit(1),
      );
  };
  for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) process.once(event, stop);
  const { nodeId } = await agent;
  process.stdout.write(`${JSON.stringify({ ready: { nodeId } })}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

function camelCase(argument: string): string {
  return argument.replace(
    /^--[a-z-]+/,
    (flag) => `--${flag.slice(2).replace(/-([a-z])/g, (_, l: string) => l.toUpperCase())}`,
  );
}

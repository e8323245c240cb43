/** The agent as a process of its own: flags and environment in, one line when it is ready, SIGTERM to drain. */
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { createLog } from '@subcloud/kit/log';
import { loadAgentConfig } from './config.ts';
import { runAgent } from './run.ts';

try {
  const config = loadAgentConfig(process.argv.slice(2), process.env);
  const starting = new AbortController();
  const log = createLog('agent', config.logLevel);
  const shared = { clock: systemClock, random: systemRandom, traceEnv: process.env };
  const agent = runAgent({ ...shared, config, log, signal: starting.signal });
  const stop = async (): Promise<void> => {
    starting.abort(new Error('stopped'));
    await (await agent).stop();
    process.exit(0);
  };
  for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) {
    process.once(event, () => void stop().catch(() => process.exit(1)));
  }
  process.stdout.write(`${JSON.stringify({ ready: { nodeId: (await agent).nodeId } })}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

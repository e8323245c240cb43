import { type RunningAgent, agentOptions, runAgent } from '@subcloud/agent/run';
import { loadConfig } from '@subcloud/kit/config';
import type { CliHost } from './cli-host.ts';
import type { AgentFlags } from './commands/agent.ts';
import { configFault } from './config-fault.ts';
import type { Output } from './output.ts';
import { LEVEL_NUMBERS, entryText, sinkLog } from './sink-log.ts';
import { listenForStop } from './up/stop-request.ts';

const STATUS_PERIOD_MS = 500;
const FORCED_EXIT_CODE = 130;

/** Runs the agent in the foreground until it is asked to stop, and says in a line what has changed. */
export async function runAgentCommand(host: CliHost, output: Output, flags: AgentFlags): Promise<void> {
  const { clock, random } = host;
  const config = loadAgentConfig(flags, host.env);
  const threshold = LEVEL_NUMBERS[flags.logLevel === undefined ? 'warn' : config.logLevel];
  const log = sinkLog((entry) => {
    if (entry.level >= threshold) output.progress(`agent: ${entryText(entry)}`);
  });
  const stop = listenForStop(host, clock, () => host.endNow(FORCED_EXIT_CODE));
  try {
    output.progress(config.url === undefined ? 'Joining…' : `Joining ${config.url}…`);
    const agent = await runAgent({ config, clock, random, log, signal: stop.signal, traceEnv: host.env });
    const { nodeId, networkId } = agent;
    output.result({ nodeId, networkId }, () => `Enrolled: this machine is ${nodeId} in ${networkId}.`);
    const status = statusLines(agent, (line) => output.progress(line));
    status();
    const timer = clock.every(STATUS_PERIOD_MS, status);
    await stop.asked();
    timer.cancel();
    output.progress('Draining; Ctrl-C again stops at once.');
    await agent.stop();
  } catch (error) {
    if (!stop.signal.aborted) throw configFault(error, 'subcloud agent --help');
  } finally {
    stop.dispose();
  }
}

function loadAgentConfig(flags: AgentFlags, env: CliHost['env']) {
  const { join, token, engine, label, data, logLevel, ...same } = flags;
  const given = {
    ...same,
    ...(join === undefined ? {} : { url: join }),
    ...(token === undefined ? {} : { joinToken: token }),
    ...(engine === undefined ? {} : { engines: engine.join(',') }),
    ...(label === undefined ? {} : { labels: label.join(',') }),
    ...(data === undefined ? {} : { dataDir: data }),
    ...(logLevel === undefined ? {} : { logLevel }),
  };
  try {
    return loadConfig(agentOptions, { flags: given, env });
  } catch (error) {
    throw configFault(error, 'subcloud agent --help');
  }
}

/** Tells each state once, when it begins. */
export function statusLines(
  agent: Pick<RunningAgent, 'linked' | 'models' | 'pools'>,
  tell: (line: string) => void,
): () => void {
  const told = new Map<string, string>();
  let wasLinked = false;
  const tellChange = (topic: string, line: string): void => {
    if (told.get(topic) === line) return;
    told.set(topic, line);
    tell(line);
  };
  return () => {
    const models = agent.models();
    tellChange('models', models.length === 0 ? 'No engine offers a model yet.' : `Models: ${models.join(', ')}`);
    const pools = agent.pools();
    if (pools.length > 0 || told.has('pools')) tellChange('pools', `Pools: ${pools.join(', ') || 'none'}`);
    wasLinked ||= agent.linked();
    if (agent.linked()) tellChange('link', 'Linked: requests can come.');
    else tellChange('link', wasLinked ? 'The link is down; dialling again.' : 'Dialling…');
  };
}

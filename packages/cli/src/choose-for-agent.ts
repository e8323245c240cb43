import { agentOptions, chooseJoin, chooseLeave } from '@subcloud/agent/run';
import { loadConfig } from '@subcloud/kit/config';
import { CliError } from './cli-error.ts';
import type { CliHost } from './cli-host.ts';
import type { AgentChoiceFlags } from './commands/agent-join.ts';
import { configFault } from './config-fault.ts';

/** Writes the operator's choice into the folder of this machine's agent. Returns all choices made there. */
export function chooseForAgent(
  { env }: Pick<CliHost, 'env'>,
  choice: 'join' | 'leave',
  name: string,
  { data, isolation }: AgentChoiceFlags,
): ReturnType<typeof chooseLeave> {
  const { dataDir } = agentConfig(env, data);
  try {
    return choice === 'join' ? chooseJoin(dataDir, name, isolation) : chooseLeave(dataDir, name);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CliError({
      code: 'config.agent_choice',
      message,
      next: '`subcloud agent --help` shows what there is.',
      cause: error,
    });
  }
}

function agentConfig(env: CliHost['env'], dataDir: string | undefined): { readonly dataDir: string } {
  try {
    return loadConfig({ dataDir: agentOptions.dataDir }, { flags: dataDir === undefined ? {} : { dataDir }, env });
  } catch (error) {
    throw configFault(error, 'subcloud agent --help');
  }
}

import type { Command } from 'commander';
import { type Cli, leaf } from '../command.ts';
import type { AgentChoiceFlags } from './agent-join.ts';

export function addAgentLeave(parent: Command, cli: Cli): void {
  leaf(parent, 'leave <name>', 'say no to a Subcloud by name, whatever else permits it (`global`: the global network)')
    .option('--data <dir>', "folder of the agent's key and state; default: ~/.subcloud/agent")
    .action(
      cli.action<AgentChoiceFlags>(async ({ host, output, options }, name) => {
        const { chooseForAgent } = await import('../choose-for-agent.ts');
        const consent = chooseForAgent(host, 'leave', name, options);
        output.result(
          consent,
          () =>
            `This machine's agent says no to ${name}, and a running agent leaves within a second: answers under way are finished.`,
        );
      }),
    );
}

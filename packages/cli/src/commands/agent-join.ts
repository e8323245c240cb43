import type { Command } from 'commander';
import { type Cli, leaf } from '../command.ts';

export interface AgentChoiceFlags {
  readonly data?: string;
  readonly isolation?: string;
}

export function addAgentJoin(parent: Command, cli: Cli): void {
  leaf(
    parent,
    'join <name>',
    'say yes to a Subcloud by name, for the agent of this machine (`global`: the global network)',
  )
    .option(
      '--isolation <most>',
      'how much it may isolate: shared, isolate or exclusive; default: what consent.isolation allows',
    )
    .option('--data <dir>', "folder of the agent's key and state; default: ~/.subcloud/agent")
    .action(
      cli.action<AgentChoiceFlags>(async ({ host, output, options }, name) => {
        const { chooseForAgent } = await import('../choose-for-agent.ts');
        const consent = chooseForAgent(host, 'join', name, options);
        output.result(
          consent,
          () => `This machine's agent says yes to ${name}. A running agent takes it up within a second.`,
        );
      }),
    );
}

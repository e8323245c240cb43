import type { Command } from 'commander';
import { type Cli, leaf } from '../command.ts';
import { addAgentJoin } from './agent-join.ts';
import { addAgentLeave } from './agent-leave.ts';

export interface AgentFlags {
  readonly join?: string;
  readonly token?: string;
  readonly config?: string;
  readonly data?: string;
  readonly engine?: readonly string[];
  readonly name?: string;
  readonly label?: readonly string[];
  readonly location?: string;
  readonly consent?: string;
  readonly concurrency?: string;
  readonly hardware?: string;
  readonly logLevel?: string;
}

export function addAgent(parent: Command, cli: Cli): void {
  const agent = leaf(parent, 'agent', 'join this machine to a network and serve from it, until Ctrl-C')
    .option('--join <url>', 'address of the network')
    .option('--token <token>', 'join token (SUBCLOUD_JOIN_TOKEN); for the first start only')
    .option('--config <file>', 'agent.yaml; read again whenever it changes')
    .option('--data <dir>', "folder of this agent's key and state; default: ~/.subcloud/agent")
    .option('--engine <url...>', 'OpenAI-compatible servers; default: those on the usual local ports')
    .option('--name <name>', 'name of this machine; default: its host name')
    .option('--label <key=value...>', 'labels that Subclouds may ask for')
    .option('--location <place>', 'declared location: DE or DE-BY')
    .option('--consent <yaml>', 'what you permit, as in --consent "{autoJoin: all}"')
    .option('--hardware <auto|none>', 'whether the GPUs of this machine are declared (default: auto)')
    .option('--concurrency <count>', 'requests that this machine takes at once')
    .option('--log-level <level>', 'what stderr shows besides the status: trace to error, or silent')
    .action(
      cli.action<AgentFlags>(async ({ host, output, options }) => {
        const { runAgentCommand } = await import('../run-agent-command.ts');
        await runAgentCommand(host, output, options);
      }),
    );
  // `--data` behind a subcommand is the subcommand's.
  agent.enablePositionalOptions();
  addAgentJoin(agent, cli);
  addAgentLeave(agent, cli);
}

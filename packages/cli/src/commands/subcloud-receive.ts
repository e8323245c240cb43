import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addSubcloudReceive(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'receive <name>', 'take over a Subcloud that was offered to you').action(
    cli.clientAction(async ({ client, output }, name: string) => {
      output.result(await client.call('acceptTransfer', { params: { name } }), ({ subcloud, withdrawal }) =>
        withdrawalText(`${name} belongs to ${subcloud.owner ?? 'nobody'}`, withdrawal),
      );
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addGatewayRemove(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'remove <id>', 'take a gateway out of the network; its key never returns').action(
    cli.clientAction(async ({ client, output }, id: string) => {
      output.result(await client.call('removeGateway', { params: { id } }), (withdrawal) =>
        withdrawalText(`${id} is removed`, withdrawal),
      );
    }),
  );
}

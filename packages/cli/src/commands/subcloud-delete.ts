import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addSubcloudDelete(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'delete <name>', 'delete a Subcloud').action(
    cli.clientAction(async ({ client, output }, name: string) => {
      output.result(await client.call('deleteSubcloud', { params: { name } }), (withdrawal) =>
        withdrawalText(`${name} is deleted`, withdrawal),
      );
    }),
  );
}

import type { Command } from 'commander';
import { chooseBinding } from '../choose-binding.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addBindingEnd(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'end <name>', 'end a binding, from either side')
    .option('--bound <id>', 'whose, where the Subcloud has several: user:ID, team:ORG/ID, org:ID or token:ID')
    .action(
      cli.clientAction<{ readonly bound?: string }>(async ({ client, output, options }, name: string) => {
        const { id } = await chooseBinding(client, name, options.bound, () => true);
        output.result(await client.call('endBinding', { params: { id } }), ({ binding, withdrawal }) =>
          withdrawalText(`the binding of ${binding.bound} to ${name} has ended`, withdrawal),
        );
      }),
    );
}

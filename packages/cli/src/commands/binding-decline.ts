import type { Command } from 'commander';
import { chooseBinding } from '../choose-binding.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addBindingDecline(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'decline <name>', 'say no to a binding that is offered')
    .option('--bound <id>', 'whose, where the Subcloud has several: user:ID, team:ORG/ID, org:ID or token:ID')
    .action(
      cli.clientAction<{ readonly bound?: string }>(async ({ client, local, output, options }, name: string) => {
        const as = local?.asPrincipal ?? client;
        const { id } = await chooseBinding(as, name, options.bound, ({ yours, state }) => yours && state === 'offered');
        output.result(await as.call('declineBinding', { params: { id } }), ({ binding, withdrawal }) =>
          withdrawalText(`${binding.bound} is not bound to ${name}`, withdrawal),
        );
      }),
    );
}

import type { Command } from 'commander';
import { chooseBinding } from '../choose-binding.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addBindingAccept(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'accept <name>', 'say yes: all traffic of who is bound goes to this Subcloud, and nowhere else')
    .option('--bound <id>', 'whose, where the Subcloud has several: user:ID, team:ORG/ID, org:ID or token:ID')
    .action(
      cli.clientAction<{ readonly bound?: string }>(async ({ client, local, output, options }, name: string) => {
        const as = local?.asPrincipal ?? client;
        const { id } = await chooseBinding(as, name, options.bound, ({ yours, state }) => yours && state !== 'active');
        output.result(await as.call('acceptBinding', { params: { id } }), ({ binding, withdrawal }) =>
          withdrawalText(`${binding.bound} is bound to ${name}`, withdrawal),
        );
      }),
    );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addInvitationAccept(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'accept <id>', 'accept an invitation')
    .option('--invitation-token <secret>', 'of one that was sent to you as a link')
    .action(
      cli.clientAction<{ readonly invitationToken?: string }>(async ({ client, output, options }, id: string) => {
        const body = options.invitationToken === undefined ? {} : { token: options.invitationToken };
        output.result(await client.call('acceptInvitation', { params: { id }, body }), ({ group, role, withdrawal }) =>
          withdrawalText(`You are in ${group ?? 'the network'}${role === null ? '' : ` as ${role}`}`, withdrawal),
        );
      }),
    );
}

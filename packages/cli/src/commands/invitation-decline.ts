import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';

export function addInvitationDecline(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'decline <id>', 'decline an invitation').action(
    cli.clientAction(async ({ client, output }, id: string) => {
      output.result(await client.call('declineInvitation', { params: { id } }), () => `${id} is declined.`);
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { invitationTable } from '../invitation-text.ts';

export function addInvitationList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'invitations to you, and into what you run').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listInvitations'), invitationTable);
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';

export function addInvitationRevoke(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'revoke <id>', 'take an invitation back').action(
    cli.clientAction(async ({ client, output }, id: string) => {
      output.result(await client.call('revokeInvitation', { params: { id } }), () => `${id} is revoked.`);
    }),
  );
}

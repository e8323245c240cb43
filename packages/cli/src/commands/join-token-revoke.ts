import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';

export function addJoinTokenRevoke(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'revoke <id>', 'revoke a join token; nodes that it enrolled stay').action(
    cli.clientAction(async ({ client, output }, id: string) => {
      output.result(
        await client.call('revokeJoinToken', { params: { id } }),
        ({ revokedAt }) => `${id} is revoked since ${revokedAt}.`,
      );
    }),
  );
}

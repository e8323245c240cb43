import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addTokenRevoke(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'revoke <name> <id>', 'revoke a token of a Subcloud').action(
    cli.clientAction(async ({ client, output }, name: string, id: string) => {
      output.result(await client.call('revokeToken', { params: { name, id } }), (withdrawal) =>
        withdrawalText(`${id} is revoked`, withdrawal),
      );
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addKeyRevoke(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'revoke <id>', 'revoke an account key').action(
    cli.clientAction(async ({ client, output }, id: string) => {
      output.result(await client.call('revokeKey', { params: { id } }), (withdrawal) =>
        withdrawalText(`${id} is revoked`, withdrawal),
      );
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { accountId } from '../group-id.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addAccountDisable(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'disable <account>',
    'disable an account for good: its keys, sessions and memberships end',
  ).action(
    cli.clientAction(async ({ client, output }, account: string) => {
      const params = { id: accountId(account) };
      output.result(await client.call('disableAccount', { params }), ({ keysRevoked, withdrawal }) =>
        withdrawalText(`user:${params.id} is disabled, ${keysRevoked} keys revoked`, withdrawal),
      );
    }),
  );
}

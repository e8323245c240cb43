import type { Command } from 'commander';
import { accountTable } from '../account-table.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { accountId } from '../group-id.ts';

export function addAccountGet(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'get <account>', 'one account').action(
    cli.clientAction(async ({ client, output }, account: string) => {
      const params = { id: accountId(account) };
      output.result(await client.call('getAccount', { params }), (found) => accountTable([found]));
    }),
  );
}

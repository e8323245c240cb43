import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { accountTable } from '../account-table.ts';

export function addAccountList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'all accounts, as network admin or auditor').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listAccounts'), accountTable);
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { groupTable } from '../group-table.ts';

export function addOrgList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'organisations that you are in').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listOrgs'), groupTable);
    }),
  );
}

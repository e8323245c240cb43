import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { groupTable } from '../group-table.ts';
import { orgId } from '../group-id.ts';

export function addTeamList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list <org>', 'teams of an organisation').action(
    cli.clientAction(async ({ client, output }, org: string) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listTeams', { params: { org: orgId(org) } }), groupTable);
    }),
  );
}

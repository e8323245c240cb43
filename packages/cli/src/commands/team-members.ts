import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { groupMemberTable } from '../group-table.ts';
import { teamId } from '../group-id.ts';

export function addTeamMembers(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'members <org/team>', 'who is in a team').action(
    cli.clientAction(async ({ client, output }, name: string) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listTeamMembers', { params: teamId(name) }), groupMemberTable);
    }),
  );
}

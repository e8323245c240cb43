import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { groupMemberTable } from '../group-table.ts';
import { orgId } from '../group-id.ts';

export function addOrgMembers(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'members <org>', 'who is in an organisation').action(
    cli.clientAction(async ({ client, output }, org: string) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listOrgMembers', { params: { org: orgId(org) } }), groupMemberTable);
    }),
  );
}

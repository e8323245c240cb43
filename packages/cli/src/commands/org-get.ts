import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { groupTable } from '../group-table.ts';
import { orgId } from '../group-id.ts';

export function addOrgGet(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'get <org>', 'one organisation').action(
    cli.clientAction(async ({ client, output }, org: string) => {
      output.result(await client.call('getOrg', { params: { org: orgId(org) } }), (found) => groupTable([found]));
    }),
  );
}

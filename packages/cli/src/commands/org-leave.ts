import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { orgId } from '../group-id.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addOrgLeave(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'leave <org>', 'leave an organisation').action(
    cli.clientAction(async ({ client, output }, org: string) => {
      const params = { org: orgId(org) };
      output.result(await client.call('leaveOrg', { params }), ({ withdrawal }) =>
        withdrawalText(`You have left org:${params.org}`, withdrawal),
      );
    }),
  );
}

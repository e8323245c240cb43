import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { accountId, orgId } from '../group-id.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addOrgRemove(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'remove <org> <account>', 'remove a member, also from its teams').action(
    cli.clientAction(async ({ client, output }, org: string, account: string) => {
      const params = { org: orgId(org), member: accountId(account) };
      output.result(await client.call('removeOrgMember', { params }), ({ withdrawal }) =>
        withdrawalText(`user:${params.member} is no member of org:${params.org}`, withdrawal),
      );
    }),
  );
}

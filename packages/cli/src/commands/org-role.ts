import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { ROLES, accountId, oneOf, orgId } from '../group-id.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addOrgRole(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'role <org> <account> <role>', `give a member another role: ${ROLES.join(', ')}`).action(
    cli.clientAction(async ({ client, output }, org: string, account: string, role: string) => {
      const input = {
        params: { org: orgId(org), member: accountId(account) },
        body: { role: oneOf(role, ROLES, 'role') },
      };
      output.result(await client.call('setOrgMember', input), ({ principal, role: now, withdrawal }) =>
        withdrawalText(`${principal} is ${now}`, withdrawal),
      );
    }),
  );
}

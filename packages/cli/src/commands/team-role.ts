import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { ROLES, accountId, oneOf, teamId } from '../group-id.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addTeamRole(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'role <org/team> <account> <role>',
    `put a member of the organisation into a team, or give it another role there: ${ROLES.join(', ')}`,
  ).action(
    cli.clientAction(async ({ client, output }, name: string, account: string, role: string) => {
      const input = {
        params: { ...teamId(name), member: accountId(account) },
        body: { role: oneOf(role, ROLES, 'role') },
      };
      output.result(await client.call('setTeamMember', input), ({ principal, role: now, withdrawal }) =>
        withdrawalText(`${principal} is ${now}`, withdrawal),
      );
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { accountId, teamId } from '../group-id.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addTeamRemove(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'remove <org/team> <account>', 'remove a member from a team').action(
    cli.clientAction(async ({ client, output }, name: string, account: string) => {
      const params = { ...teamId(name), member: accountId(account) };
      output.result(await client.call('removeTeamMember', { params }), ({ withdrawal }) =>
        withdrawalText(`user:${params.member} is no member of team:${params.org}/${params.team}`, withdrawal),
      );
    }),
  );
}

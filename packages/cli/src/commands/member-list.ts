import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addMemberList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list <name>', 'memberships of a Subcloud in every state').action(
    cli.clientAction(async ({ client, output }, name: string) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listMembers', { params: { name } }), (items) =>
        table(
          ['node', 'name', 'operator', 'state', 'reason', 'since', 'online', 'serving', 'models'],
          items.map((member) => [
            member.node,
            member.nodeName,
            member.operator,
            member.state,
            member.reason,
            member.since,
            member.online,
            member.draining === undefined ? member.serving : 'draining',
            member.models.join(', '),
          ]),
        ),
      );
    }),
  );
}

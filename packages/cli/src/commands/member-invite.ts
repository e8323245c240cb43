import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';

export function addMemberInvite(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'invite <name> <node>', 'assign a node, which joins when its operator says yes').action(
    cli.clientAction(async ({ client, output }, name: string, node: string) => {
      const { resolveNode } = await import('../resolve-node.ts');
      const id = await resolveNode(client, node);
      output.result(await client.call('inviteMember', { params: { name }, body: { node: id } }), (member) =>
        member.state === 'invited'
          ? `${member.node} is invited to ${name} (${member.reason}); it joins when its operator says yes (\`consent.join: [${name}]\`).`
          : `${member.node} is ${member.state} in ${name} (${member.reason}).`,
      );
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addMemberRemove(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'remove <name> <node>', 'remove a node from a Subcloud').action(
    cli.clientAction(async ({ client, output }, name: string, node: string) => {
      const { resolveNode } = await import('../resolve-node.ts');
      const id = await resolveNode(client, node);
      output.result(await client.call('removeMember', { params: { name, node: id } }), (withdrawal) =>
        withdrawalText(`${id} is removed from ${name}`, withdrawal),
      );
    }),
  );
}

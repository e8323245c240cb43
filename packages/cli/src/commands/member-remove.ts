import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addMemberRemove(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'remove <name> <node>', 'remove a node from a Subcloud').action(
    cli.clientAction(async ({ client, output }, name: string, node: string) => {
      const { resolveMember } = await import('../resolve-node.ts');
      const id = await resolveMember(client, name, node);
      output.result(await client.call('removeMember', { params: { name, node: id } }), (withdrawal) =>
        withdrawalText(`${id} is removed from ${name}`, withdrawal),
      );
    }),
  );
}

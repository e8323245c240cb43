import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addNodeRemove(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'remove <node>', 'remove a node from the network; its key never returns').action(
    cli.clientAction(async ({ client, output }, node: string) => {
      const { resolveNode } = await import('../resolve-node.ts');
      const id = await resolveNode(client, node);
      output.result(await client.call('removeNode', { params: { id } }), (withdrawal) =>
        withdrawalText(`${id} is removed`, withdrawal),
      );
    }),
  );
}

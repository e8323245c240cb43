import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addSubcloudList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'Subclouds that you may know of').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listSubclouds'), (items) =>
        table(
          ['name', 'owner', 'revision', 'participation', 'isolation', 'active', 'models'],
          items.map((item) => [
            item.name,
            item.owner,
            item.revision,
            item.participation,
            item.isolation,
            item.members['active'] ?? 0,
            Object.keys(item.models).join(', '),
          ]),
        ),
      );
    }),
  );
}

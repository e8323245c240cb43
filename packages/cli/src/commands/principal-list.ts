import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addPrincipalList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'all principals').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listPrincipals'), (items) =>
        table(
          ['id', 'created'],
          items.map((item) => [item.id, item.createdAt]),
        ),
      );
    }),
  );
}

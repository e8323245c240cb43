import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addGatewayList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'gateways of the network, removed ones too').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listGateways'), (items) =>
        table(
          ['id', 'name', 'url', 'by', 'state', 'lease ends', 'table'],
          items.map((item) => [
            item.id,
            item.name,
            item.url,
            item.by,
            item.removedAt === null ? (item.watching ? 'watching' : 'away') : `removed ${item.removedAt}`,
            item.leaseEndsAt,
            item.tableVersion,
          ]),
        ),
      );
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { drainText } from '../drain-text.ts';
import { table } from '../output.ts';

export function addNodeList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'nodes: all for the admin, else your own').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listNodes'), (items) =>
        table(
          ['id', 'name', 'operator', 'online', 'location', 'models', 'pools', 'warnings'],
          items.map((node) => [
            node.id,
            node.name,
            node.operator,
            node.draining === undefined ? node.online : `out of service: ${drainText(node.draining)}`,
            node.location.map(({ country, subdivision }) => subdivision ?? country).join('|'),
            node.models.join(', '),
            node.pools.map(({ pool, state }) => (state === 'active' ? pool : `${pool} (${state})`)).join(', '),
            node.warnings.length === 0 ? '' : `${node.warnings.length}, see node get`,
          ]),
        ),
      );
    }),
  );
}

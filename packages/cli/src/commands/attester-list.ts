import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addAttesterList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', "the network's attesters, and your own").action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listAttesters'), (items) =>
        table(
          ['name', 'owner', 'attests', 'about nodes of', 'created', 'revoked'],
          items.map((item) => [
            item.name,
            item.owner ?? 'the network',
            item.facts.join(', '),
            item.nodes === 'all' ? (item.owner ?? 'all') : item.nodes.join(', '),
            item.createdAt,
            item.revokedAt,
          ]),
        ),
      );
    }),
  );
}

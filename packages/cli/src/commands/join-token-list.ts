import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addJoinTokenList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'join tokens, without their secrets').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listJoinTokens'), (items) =>
        table(
          ['id', 'operator', 'created', 'expires', 'revoked', 'uses'],
          items.map((item) => [item.id, item.operator, item.createdAt, item.expiresAt, item.revokedAt, item.uses]),
        ),
      );
    }),
  );
}

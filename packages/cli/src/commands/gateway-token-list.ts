import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addGatewayTokenList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'gateway tokens, without their secrets').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listGatewayTokens'), (items) =>
        table(
          ['id', 'name', 'created', 'expires', 'revoked', 'gateway'],
          items.map((item) => [item.id, item.name, item.createdAt, item.expiresAt, item.revokedAt, item.gateway]),
        ),
      );
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';
import { termsText } from '../token-terms.ts';

export function addTokenList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list <name>', 'tokens of a Subcloud, without their secrets').action(
    cli.clientAction(async ({ client, output }, name: string) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listTokens', { params: { name } }), (items) =>
        table(
          ['id', 'name', 'principal', 'created', 'expires', 'revoked', 'last used', 'narrowed to'],
          items.map((item) => [
            item.id,
            item.name,
            item.principal,
            item.createdAt,
            item.expiresAt,
            item.revokedAt,
            item.lastUsedAt,
            termsText(item),
          ]),
        ),
      );
    }),
  );
}

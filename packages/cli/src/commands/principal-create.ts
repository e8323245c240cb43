import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';

export function addPrincipalCreate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'create <id>', 'make a principal: user:ID, team:ORG/ID or org:ID').action(
    cli.clientAction(async ({ client, output }, id: string) => {
      output.result(
        await client.call('createPrincipal', { body: { id } }),
        (made) => `${made.id} is made; \`subcloud key create --principal ${made.id}\` gives it a key.`,
      );
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';

export function addGatewayTokenRevoke(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'revoke <id>', 'revoke a gateway token; a gateway that it enrolled stays').action(
    cli.clientAction(async ({ client, output }, id: string) => {
      output.result(
        await client.call('revokeGatewayToken', { params: { id } }),
        ({ revokedAt }) => `${id} is revoked since ${revokedAt}.`,
      );
    }),
  );
}

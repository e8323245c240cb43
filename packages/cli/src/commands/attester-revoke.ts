import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addAttesterRevoke(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'revoke <name>', 'revoke an attester and every claim that it made').action(
    cli.clientAction(async ({ client, output }, name: string) => {
      output.result(await client.call('revokeAttester', { params: { name } }), (withdrawal) =>
        withdrawalText(`${name} and its claims are revoked`, withdrawal),
      );
    }),
  );
}

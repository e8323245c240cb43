import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { signingKeysText } from '../signing-keys-text.ts';

export function addNetworkKeyRotate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'rotate', 'make the next signing key; the one in use stays good for what it signed').action(
    cli.clientAction(async ({ client, output }) => {
      output.result(await client.call('rotateSigningKey', { body: {} }), signingKeysText);
    }),
  );
}

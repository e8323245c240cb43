import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { signingKeysText } from '../signing-keys-text.ts';

export function addNetworkKeyShow(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'show', 'the network key and the signing keys that it vouches for').action(
    cli.clientAction(async ({ client, output }) => {
      output.result(await client.call('listSigningKeys'), signingKeysText);
    }),
  );
}

import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { fields } from '../output.ts';

interface Options {
  readonly owner?: string;
  readonly facts: string;
  readonly operators?: string;
  readonly keyFile?: string;
}

export function addAttesterCreate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'create <name>', 'make the key pair of an attester here and register its public part')
    .requiredOption('--facts <list>', 'what it may attest, for example operatorSeat,hardware,audit')
    .option('--owner <id>', 'whose it is; default: the network for the admin, else you')
    .option('--operators <list>', 'about whose nodes; default: all that its owner may attest about')
    .option('--key-file <file>', 'where the private key goes; default: attester-NAME.pem')
    .action(
      cli.clientAction<Options>(async ({ client, output, options }, name: string) => {
        const { newKeyFile } = await import('../attester-key.ts');
        const path = await import('node:path');
        const file = path.resolve(options.keyFile ?? `attester-${name}.pem`);
        const list = (text: string): string[] => text.split(',').map((each) => each.trim());
        if (!/^[a-z0-9-]{1,63}$/.test(name))
          throw new CliError({
            code: 'client.invalid_name',
            message: `${JSON.stringify(name)} cannot be the name of an attester.`,
            next: 'Use a to z, 0 to 9 and -.',
          });
        // The key is on disk before the network hears of it: a name is never taken for a key that nobody has.
        const key = newKeyFile(file);
        const body = {
          name,
          publicKey: key.publicKey,
          facts: list(options.facts),
          ...(options.owner === undefined ? {} : { owner: options.owner }),
          ...(options.operators === undefined ? {} : { nodes: list(options.operators) }),
        } as Parameters<typeof client.call<'createAttester'>>[1]['body'];
        const made = await client.call('createAttester', { body }).catch((error: unknown) => {
          key.discard();
          throw error;
        });
        output.result({ ...made, keyFile: file }, ({ keyFile, ...attester }) =>
          fields([
            ['attester', attester.name],
            ['owner', attester.owner ?? 'the network'],
            ['attests', attester.facts.join(', ')],
            ['about nodes of', attester.nodes === 'all' ? (attester.owner ?? 'all') : attester.nodes.join(', ')],
            ['key file', keyFile],
            ['note', 'whoever has the key file attests in this name; the network does not have it'],
          ]),
        );
      }),
    );
}

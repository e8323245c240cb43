import { type Command, Option } from 'commander';
import { type Cli, leaf } from '../command.ts';

export function addSchema(parent: Command, cli: Cli): void {
  leaf(parent, 'schema', 'the JSON Schema of manifests, for editors; needs no network')
    .addOption(new Option('--kind <kind>', 'of this kind alone').choices(['Subcloud', 'Network']))
    .action(
      cli.action<{ readonly kind?: 'Subcloud' | 'Network' }>(async ({ output, options }) => {
        const { manifestJsonSchema } = await import('@subcloud/sdk/manifest');
        output.result(manifestJsonSchema(options.kind), (schema) => JSON.stringify(schema, null, 2));
      }),
    );
}

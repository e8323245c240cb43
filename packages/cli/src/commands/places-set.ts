import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addPlacesSet(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'set', 'replace the map; every linked node is measured again')
    .requiredOption('-f, --file <file>', 'YAML or JSON: a list of { cidr, country, subdivision }; - reads stdin')
    .action(
      cli.clientAction<{ readonly file: string }>(async ({ client, output, options, host }) => {
        const { readPlaces } = await import('../read-places.ts');
        const places = await readPlaces(options.file, host.stdin);
        output.result(await client.call('putPlaces', { body: { places } }), (withdrawal) =>
          withdrawalText(`${places.length} ranges are stored`, withdrawal),
        );
      }),
    );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addPlacesGet(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'get', 'show the map').action(
    cli.clientAction(async ({ client, output }) => {
      output.result(await client.call('getPlaces'), ({ places }) =>
        table(
          ['cidr', 'country', 'subdivision'],
          places.map((place) => [place.cidr, place.country, place.subdivision]),
        ),
      );
    }),
  );
}

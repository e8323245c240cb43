import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { domainAddress } from '../domain-id.ts';
import { withdrawalText } from '../withdrawal.ts';

interface DomainFlags {
  readonly members: readonly string[];
  readonly unclear?: readonly string[];
  readonly title?: string;
}

export function addDomainSet(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'set <id>', 'define a domain, or give it a new version: Subclouds that name it are decided again')
    .requiredOption('--members <code...>', 'ISO 3166 codes of countries and subdivisions')
    .option('--unclear <code...>', 'codes of which it is not known whether they belong to it')
    .option('--title <text>', 'what it is, for people')
    .action(
      cli.clientAction<DomainFlags>(async ({ client, output, options }, id: string) => {
        const { name, owner } = domainAddress(id);
        const body = {
          members: codes(options.members),
          unclear: codes(options.unclear ?? []),
          ...(owner === undefined ? {} : { owner }),
          ...(options.title === undefined ? {} : { title: options.title }),
        };
        output.result(await client.call('putDomain', { params: { name }, body }), ({ change, domain, withdrawal }) =>
          change === 'unchanged'
            ? `domain ${domain.id} unchanged (version ${domain.version})`
            : withdrawalText(`domain ${domain.id} ${change} (version ${domain.version})`, withdrawal),
        );
      }),
    );
}

/** Given one by one, or with commas between. */
function codes(given: readonly string[]): string[] {
  return given.flatMap((text) => text.split(',')).filter((code) => code !== '');
}

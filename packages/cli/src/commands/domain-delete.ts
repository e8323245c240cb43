import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { domainAddress } from '../domain-id.ts';

export function addDomainDelete(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'delete <id>', 'delete a domain that no Subcloud names').action(
    cli.clientAction(async ({ client, output }, id: string) => {
      const { name, owner } = domainAddress(id);
      const query = owner === undefined ? {} : { owner };
      output.result(await client.call('deleteDomain', { params: { name }, query }), () => `domain ${id} is deleted`);
    }),
  );
}

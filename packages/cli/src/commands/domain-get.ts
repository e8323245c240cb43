import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { domainAddress } from '../domain-id.ts';
import { fields } from '../output.ts';

export function addDomainGet(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'get <id>', 'one domain with its members').action(
    cli.clientAction(async ({ client, output }, id: string) => {
      const { name, owner } = domainAddress(id);
      const query = owner === undefined ? {} : { owner };
      output.result(await client.call('getDomain', { params: { name }, query }), (domain) =>
        fields([
          ['domain', domain.id],
          ['title', domain.title],
          ['version', domain.version],
          ['whose', domain.builtIn ? 'built-in' : (domain.owner ?? 'network')],
          ['members', domain.members.join(' ')],
          ['unclear', domain.unclear.join(' ')],
          ['used by', domain.usedBy.join(', ')],
          ['changed', domain.createdAt === null ? null : `${domain.createdAt} by ${domain.createdBy ?? '-'}`],
        ]),
      );
    }),
  );
}

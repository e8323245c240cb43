import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addDomainList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'domains: built-in, of the network, and your own').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listDomains'), (domains) =>
        table(
          ['domain', 'title', 'version', 'members', 'whose', 'used by'],
          domains.map((domain) => [
            domain.id,
            domain.title,
            domain.version,
            domain.members.length,
            domain.builtIn ? 'built-in' : (domain.owner ?? 'network'),
            domain.usedBy.join(', '),
          ]),
        ),
      );
    }),
  );
}

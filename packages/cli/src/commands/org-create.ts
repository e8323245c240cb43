import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { orgId } from '../group-id.ts';

export function addOrgCreate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'create <org>', 'make an organisation, which you then own')
    .option('--name <text>', 'its name for people')
    .action(
      cli.clientAction<{ readonly name?: string }>(async ({ client, output, options }, org: string) => {
        const body = { id: orgId(org), ...(options.name === undefined ? {} : { displayName: options.name }) };
        output.result(
          await client.call('createOrg', { body }),
          ({ id, role }) => `${id} is made; you are ${role ?? 'no member'}.`,
        );
      }),
    );
}

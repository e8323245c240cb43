import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { oneOf, orgId } from '../group-id.ts';

export function addServiceAccountCreate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'create <org> <id>', 'make an account for a program; `key create --principal` makes its keys')
    .option('--role <role>', 'admin, member or viewer', 'member')
    .option('--name <text>', 'its name for people')
    .action(
      cli.clientAction<{ readonly role: string; readonly name?: string }>(
        async ({ client, output, options }, org: string, id: string) => {
          const body = {
            id,
            role: oneOf(options.role, ['admin', 'member', 'viewer'], 'role'),
            ...(options.name === undefined ? {} : { displayName: options.name }),
          };
          output.result(
            await client.call('createServiceAccount', { params: { org: orgId(org) }, body }),
            ({ principal, role }) =>
              `${principal} is made, as ${role} of org:${orgId(org)}. \`subcloud key create --principal ${principal}\` makes a key.`,
          );
        },
      ),
    );
}

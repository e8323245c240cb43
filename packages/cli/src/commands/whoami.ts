import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { fields } from '../output.ts';

export function addWhoami(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'whoami', 'whom commands act for here').action(
    cli.clientAction(async ({ client, output }) => {
      output.result(await client.call('whoami'), (found) =>
        fields([
          ['principal', found.principal ?? 'nobody: the admin token'],
          ['network', client.url],
          ['network role', found.networkRole ?? (found.admin ? 'admin' : null)],
          ['credential', found.credential],
          ['member of', found.groups.map(({ id, role }) => `${id} (${role})`).join(', ')],
        ]),
      );
    }),
  );
}

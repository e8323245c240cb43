import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { teamId } from '../group-id.ts';

export function addTeamCreate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'create <org/team>', 'make a team of an organisation')
    .option('--name <text>', 'its name for people')
    .action(
      cli.clientAction<{ readonly name?: string }>(async ({ client, output, options }, name: string) => {
        const { org, team } = teamId(name);
        const body = { id: team, ...(options.name === undefined ? {} : { displayName: options.name }) };
        output.result(await client.call('createTeam', { params: { org }, body }), ({ id }) => `${id} is made.`);
      }),
    );
}

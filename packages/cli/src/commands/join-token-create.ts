import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { durationSeconds } from '../duration.ts';
import { fields } from '../output.ts';

export function addJoinTokenCreate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'create', 'make a token that enrols nodes; reusable until it expires')
    .option('--operator <id>', 'who operates the nodes; default: you')
    .option('--expires-in <duration>', 'for example 1h', '24h')
    .action(
      cli.clientAction<{ readonly operator?: string; readonly expiresIn: string }>(
        async ({ client, output, options, local }) => {
          const operator = options.operator ?? local?.principal;
          const body = {
            expiresInS: durationSeconds(options.expiresIn),
            ...(operator === undefined ? {} : { operator }),
          };
          output.result(await client.call('createJoinToken', { body }), (made) =>
            [
              fields([
                ['id', made.id],
                ['operator', made.operator],
                ['expires', made.expiresAt],
              ]),
              '',
              'On the machine that joins (the token is shown this once):',
              `  subcloud agent --join ${client.url} --token ${made.joinToken}`,
            ].join('\n'),
          );
        },
      ),
    );
}

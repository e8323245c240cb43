import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { durationSeconds } from '../duration.ts';
import { fields } from '../output.ts';

export function addTokenCreate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'create <name>', 'make a token that opens one Subcloud only')
    .option('--name <text>', 'what it is for')
    .option('--principal <id>', 'for whom it acts; default: you')
    .option('--expires-in <duration>', 'for example 30d; default: it does not expire')
    .action(
      cli.clientAction<{ readonly name?: string; readonly principal?: string; readonly expiresIn?: string }>(
        async ({ client, output, options, local }, name: string) => {
          const principal = options.principal ?? local?.principal;
          const body = {
            ...(options.name === undefined ? {} : { name: options.name }),
            ...(principal === undefined ? {} : { principal }),
            ...(options.expiresIn === undefined ? {} : { expiresInS: durationSeconds(options.expiresIn) }),
          };
          output.result(await client.call('createToken', { params: { name }, body }), (made) =>
            fields([
              ['token', made.token],
              ['id', made.id],
              ['opens', made.subcloud],
              ['acts for', made.principal],
              ['expires', made.expiresAt],
              ['note', 'it is shown this once'],
            ]),
          );
        },
      ),
    );
}

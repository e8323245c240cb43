import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { durationSeconds } from '../duration.ts';
import { fields } from '../output.ts';

export function addKeyCreate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'create', 'make an account key')
    .option('--principal <id>', 'for whom it acts: a service account or organisation of yours; default: you')
    .option('--name <text>', 'what it is for')
    .option('--expires-in <duration>', 'for example 90d; default: it does not expire')
    .action(
      cli.clientAction<{ readonly principal?: string; readonly name?: string; readonly expiresIn?: string }>(
        async ({ client, output, options, local }) => {
          const principal = options.principal ?? local?.principal;
          const body = {
            ...(principal === undefined ? {} : { principal }),
            ...(options.name === undefined ? {} : { name: options.name }),
            ...(options.expiresIn === undefined ? {} : { expiresInS: durationSeconds(options.expiresIn) }),
          };
          output.result(await client.call('createKey', { body }), (made) =>
            fields([
              ['key', made.key],
              ['id', made.id],
              ['acts for', made.principal],
              ['expires', made.expiresAt],
              ['note', 'it is shown this once'],
            ]),
          );
        },
      ),
    );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { durationSeconds } from '../duration.ts';
import { fields } from '../output.ts';
import { type TermOptions, termsOf } from '../token-terms.ts';

interface CreateOptions extends TermOptions {
  readonly name?: string;
  readonly principal?: string;
  readonly expiresIn?: string;
}

export function addTokenCreate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'create <name>', 'make a token that opens one Subcloud only')
    .option('--name <text>', 'what it is for')
    .option('--principal <id>', 'for whom it acts; default: you')
    .option('--expires-in <duration>', 'for example 30d; default: it does not expire')
    .option('--scope <name...>', 'what it may be used for: chat, completions, embeddings, models, apis; default: all')
    .option('--model <id...>', 'models that it may name: ids, aliases or globs; default: all')
    .option('--limit <name=number...>', 'narrower limits: requestsPerMinute, tokensPerMinute, concurrent, tokensPerDay')
    .action(
      cli.clientAction<CreateOptions>(async ({ client, output, options, local }, name: string) => {
        const principal = options.principal ?? local?.principal;
        const body = {
          ...(options.name === undefined ? {} : { name: options.name }),
          ...(principal === undefined ? {} : { principal }),
          ...termsOf(options),
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
      }),
    );
}

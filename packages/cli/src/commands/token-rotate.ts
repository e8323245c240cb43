import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { durationSeconds } from '../duration.ts';
import { fields } from '../output.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addTokenRotate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'rotate <name> <id>', 'give a token a new secret; the one before opens too for a while')
    .option('--overlap <duration>', 'how long the one before still opens, for example 1h, or none; default: 24h')
    .action(
      cli.clientAction<{ readonly overlap?: string }>(async ({ client, output, options }, name: string, id: string) => {
        const body = options.overlap === undefined ? {} : { overlapS: overlapS(options.overlap) };
        output.result(await client.call('rotateToken', { params: { name, id }, body }), (made) =>
          [
            fields([
              ['token', made.token],
              ['id', made.id],
              ['the one before opens until', made.previousUntil],
              ['note', 'it is shown this once'],
            ]),
            withdrawalText('the new secret opens', made.withdrawal),
          ].join('\n'),
        );
      }),
    );
}

function overlapS(text: string): number {
  return text === 'none' ? 0 : durationSeconds(text);
}

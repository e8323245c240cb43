import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { counts } from '../counts.ts';
import { fields } from '../output.ts';

export function addSubcloudGet(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'get <name>', 'one Subcloud, with its manifest in force').action(
    cli.clientAction(async ({ client, output }, name: string) => {
      output.result(await client.call('getSubcloud', { params: { name } }), (found) =>
        [
          fields([
            ['name', found.name],
            ['id', found.id],
            ['owner', found.owner],
            ['revision', found.revision],
            ['effective hash', found.effectiveHash],
            ['participation', found.participation],
            ['isolation', found.isolation],
            ['members', counts(found.members)],
            ['models', counts(found.models)],
            ['updated', found.updatedAt],
          ]),
          '',
          found.manifest.trimEnd(),
        ].join('\n'),
      );
    }),
  );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { counts } from '../counts.ts';
import { fields } from '../output.ts';

export function addSubcloudGet(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'get <name>', 'one Subcloud, with its manifest in force')
    .option('--shadow', 'its draft, and what it would change if it were applied now')
    .action(
      cli.clientAction<{ readonly shadow?: boolean }>(async ({ client, output, options }, name: string) => {
        if (options.shadow === true) {
          const { planText } = await import('../plan-text.ts');
          output.result(await client.call('getDraft', { params: { name } }), ({ draft, plan }) =>
            [
              fields([
                ['draft of', draft.subcloud],
                ['stored', `${draft.createdAt} by ${draft.createdBy}`],
              ]),
              '',
              planText(plan),
              '',
              draft.manifest.trimEnd(),
            ].join('\n'),
          );
          return;
        }
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

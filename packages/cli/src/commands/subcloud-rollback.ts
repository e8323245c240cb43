import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { percentOf } from '../percent.ts';
import { revisionOf } from '../revision.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addSubcloudRollback(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'rollback <name> <revision>', 'make a new revision with the content of an old one')
    .option('--max-leave <percent>', 'refuse where more of the active members would leave, for example 20%', percentOf)
    .action(
      cli.clientAction<{ readonly maxLeave?: number }>(
        async ({ client, output, options }, name: string, old: string) => {
          const revision = revisionOf(old);
          const limits = options.maxLeave === undefined ? {} : { maxLeavePercent: options.maxLeave };
          const done = await client.call('rollbackSubcloud', { params: { name }, body: { revision, ...limits } });
          output.result(done, ({ change, subcloud, withdrawal }) =>
            change === 'unchanged'
              ? `${name} has this content already (revision ${subcloud.revision})`
              : withdrawalText(
                  `${name} is at revision ${subcloud.revision}, with the content of ${revision}`,
                  withdrawal,
                ),
          );
        },
      ),
    );
}

import type { Command } from 'commander';
import { type Cli, leaf } from '../command.ts';

export interface BackupFlags {
  readonly data?: string;
  readonly out?: string;
}

export function addBackup(parent: Command, cli: Cli): void {
  leaf(parent, 'backup', 'write the whole network into one file, also while it runs; it holds secrets')
    .option('--out <file>', 'where to; default: subcloud-TIME.backup.gz here')
    .option(
      '--data <dir>',
      "control's data folder (SUBCLOUD_DATA); its database, unless SUBCLOUD_DATABASE_URL names one",
    )
    .action(
      cli.action<BackupFlags>(async ({ host, output, options }) => {
        const { runBackup } = await import('../backup/run-backup.ts');
        await runBackup(host, output, options);
      }),
    );
}

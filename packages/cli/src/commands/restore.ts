import type { Command } from 'commander';
import { type Cli, leaf } from '../command.ts';

export interface RestoreFlags {
  readonly data?: string;
  readonly mirrorFile?: string;
  readonly mirror: boolean;
}

export function addRestore(parent: Command, cli: Cli): void {
  leaf(parent, 'restore <file>', 'put a network back from a backup, into a folder or database that holds none')
    .option('--data <dir>', 'folder to restore into; default: ./.subcloud')
    .option(
      '--mirror-file <file>',
      'copy of the audit log that the lost network kept (audit/mirror.jsonl of its data folder): what was withdrawn since the backup is withdrawn again',
    )
    .option('--no-mirror', 'there is none: what may have been withdrawn since is listed, and comes back')
    .action(
      cli.action<RestoreFlags>(async ({ host, output, options }, file) => {
        const { runRestore } = await import('../backup/run-restore.ts');
        await runRestore(host, output, file, options);
      }),
    );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { percentOf } from '../percent.ts';

interface ApplyFlags {
  readonly file: readonly string[];
  readonly maxLeave?: number;
  /** True: store as a draft. False: end the drafts. Absent: apply. */
  readonly shadow?: boolean;
}

export function addApply(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'apply', 'create Subclouds or give them new revisions')
    .requiredOption('-f, --file <file...>', 'manifests in YAML or JSON, several documents allowed; - reads stdin')
    .option('--max-leave <percent>', 'refuse where more of the active members would leave, for example 20%', percentOf)
    .option('--shadow', 'store as drafts that are decided beside the revision in force and change nothing')
    .option('--no-shadow', 'end the drafts of these Subclouds, and apply nothing')
    .action(
      cli.clientAction<ApplyFlags>(async ({ client, output, options, host, local }) => {
        const clients = { client, ownerless: local?.asPrincipal ?? client };
        if (options.shadow !== undefined) {
          const { shadowManifests, shadowText } = await import('../shadow-manifests.ts');
          const shadows = await shadowManifests(clients, options.file, host.stdin, options.shadow);
          output.result({ shadows }, () => shadows.map(shadowText).join('\n\n'));
          return;
        }
        const { applyManifests, appliedText } = await import('../apply-manifests.ts');
        const limits = options.maxLeave === undefined ? {} : { maxLeavePercent: options.maxLeave };
        const applied = await applyManifests(clients, options.file, host.stdin, limits);
        output.result({ applied }, () => applied.map(appliedText).join('\n'));
      }),
    );
}

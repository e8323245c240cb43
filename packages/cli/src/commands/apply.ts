import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';

export function addApply(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'apply', 'create Subclouds or give them new revisions')
    .requiredOption('-f, --file <file...>', 'manifests in YAML or JSON, several documents allowed; - reads stdin')
    .action(
      cli.clientAction<{ readonly file: readonly string[] }>(async ({ client, output, options, host, local }) => {
        const { applyManifests, appliedText } = await import('../apply-manifests.ts');
        const applied = await applyManifests(
          { client, ownerless: local?.asPrincipal ?? client },
          options.file,
          host.stdin,
        );
        output.result({ applied }, () => applied.map(appliedText).join('\n'));
      }),
    );
}

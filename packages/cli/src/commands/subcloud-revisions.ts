import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addSubcloudRevisions(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'revisions <name>', 'revisions, newest first: who made them and when').action(
    cli.clientAction(async ({ client, output }, name: string) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listRevisions', { params: { name } }), (revisions) =>
        table(
          ['revision', 'created', 'by', 'content', 'effective'],
          revisions.map((each) => [
            each.revision,
            each.createdAt,
            each.createdBy,
            each.contentHash.slice(0, 12),
            each.effectiveHash.slice(0, 12),
          ]),
        ),
      );
    }),
  );
}

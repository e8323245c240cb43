import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';
import { revisionOf } from '../revision.ts';

export function addSubcloudDiff(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'diff <name> [from] [to]',
    'what two revisions say differently; with one, that one and the one in force; with none, the last change',
  ).action(
    cli.clientAction(async ({ client, output }, name: string, from?: string, to?: string) => {
      const query = {
        ...(from === undefined ? {} : { from: revisionOf(from) }),
        ...(to === undefined ? {} : { to: revisionOf(to) }),
      };
      output.result(await client.call('diffRevisions', { params: { name }, query }), (found) =>
        [
          `${found.subcloud}: revision ${found.from === 0 ? 'none' : found.from} -> ${found.to}`,
          table(
            ['', 'path', 'before', 'after'],
            found.changes.map(({ kind, path, before, after }) => [
              SIGNS[kind],
              path,
              kind === 'added' ? '' : text(before),
              kind === 'removed' ? '' : text(after),
            ]),
            'They say the same.',
          ),
        ].join('\n'),
      );
    }),
  );
}

const SIGNS = { added: '+', removed: '-', changed: '~' } as const;

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

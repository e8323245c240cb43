import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addInbox(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'inbox', 'what waits for your answer').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listInbox'), (items) =>
        table(
          ['what', 'subcloud', 'owner', 'node', 'operator', 'isolation', 'until', 'answer with'],
          items.map((item) => [
            item.kind,
            item.subcloud,
            item.owner,
            item.nodeName,
            item.operator,
            item.isolation,
            item.expiresAt,
            item.kind === 'invitation'
              ? `member accept|decline ${item.subcloud} ${item.nodeName}`
              : `member approve|deny ${item.subcloud} ${item.nodeName}`,
          ]),
          'nothing waits for you',
        ),
      );
    }),
  );
}

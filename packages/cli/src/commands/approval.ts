import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';
import { addAnswer } from './member-answer.ts';

export const approvalCommands: readonly ((parent: Command, cli: Cli) => void)[] = [
  addApprovalList,
  (parent, cli) => addAnswer(parent, cli, 'grant', 'approveMember', 'approve the request of a node'),
  (parent, cli) => addAnswer(parent, cli, 'refuse', 'denyMember', 'deny the request of a node'),
];

function addApprovalList(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'list', 'requests of nodes that you may approve').action(
    cli.clientAction(async ({ client, output }) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      const waiting = await listAll(client, 'listInbox');
      const requests = waiting.filter(({ kind }) => kind === 'request');
      output.result(requests, (items) =>
        table(
          ['subcloud', 'node', 'name', 'operator', 'since', 'until'],
          items.map((item) => [item.subcloud, item.node, item.nodeName, item.operator, item.since, item.expiresAt]),
          'no requests',
        ),
      );
    }),
  );
}

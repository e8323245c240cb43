import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { accountId, oneOf } from '../group-id.ts';

export function addAccountRole(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'role <account> <role>',
    'as network admin: make an account admin or auditor of the network, or none',
  ).action(
    cli.clientAction(async ({ client, output }, account: string, role: string) => {
      const wanted = oneOf(role, ['admin', 'auditor', 'none'], 'network role');
      const input = { params: { id: accountId(account) }, body: { role: wanted === 'none' ? null : wanted } };
      output.result(
        await client.call('setNetworkRole', input),
        ({ principal, networkRole }) => `${principal}: ${networkRole ?? 'no role in the network'}.`,
      );
    }),
  );
}

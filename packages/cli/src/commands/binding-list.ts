import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';

export function addBindingList(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'list [name]',
    'bindings that are yours to answer, and those of Subclouds that you manage',
  ).action(
    cli.clientAction(async ({ client, local, output }, name?: string) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      const query = name === undefined ? {} : { subcloud: name };
      const [all, own] = await Promise.all(
        [client, ...(local === undefined ? [] : [local.asPrincipal])].map((as) =>
          listAll(as, 'listBindings', { query }),
        ),
      );
      const yours = new Set((own ?? []).filter((item) => item.yours).map(({ id }) => id));
      const items = (all ?? []).map((item) => ({ ...item, yours: item.yours || yours.has(item.id) }));
      output.result(items, (shown) =>
        table(
          ['Subcloud', 'bound', 'state', 'since', 'by', 'waits for'],
          shown.map((item) => [
            item.subcloud,
            item.bound,
            item.state,
            item.since,
            item.changedBy,
            item.state !== 'offered' ? '' : item.yours ? 'you' : item.bound,
          ]),
        ),
      );
    }),
  );
}

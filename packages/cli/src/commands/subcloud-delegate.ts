import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';

export function addSubcloudDelegate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'delegate <name>', 'show or say who manages a Subcloud besides its owner')
    .option('--to <principals>', 'teams, organisations or accounts, with commas: they replace those before')
    .option('--none', 'take it back from everybody')
    .action(
      cli.clientAction<{ readonly to?: string; readonly none?: boolean }>(
        async ({ client, output, options }, name: string) => {
          const to = options.none === true ? [] : options.to?.split(',').map((each) => each.trim());
          const params = { name };
          const found =
            to === undefined
              ? await client.call('getDelegates', { params })
              : await client.call('putDelegates', { params, body: { delegates: to } });
          output.result(found, ({ delegates }) =>
            delegates.length === 0
              ? `Nobody but its owner manages ${name}.`
              : `${delegates.join(', ')} manage ${name} too.`,
          );
        },
      ),
    );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';

export function addSubcloudTransfer(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'transfer <name> <to>', 'offer a Subcloud to another owner').action(
    cli.clientAction(async ({ client, output }, name: string, to: string) => {
      output.result(await client.call('transferSubcloud', { params: { name }, body: { to } }), (offer) =>
        offer.state === 'done'
          ? `${name} belongs to ${offer.to} now.`
          : `${name} is offered to ${offer.to}, who takes it with \`subcloud subcloud receive ${name}\`.`,
      );
    }),
  );
}

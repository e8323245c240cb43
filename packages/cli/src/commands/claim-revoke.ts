import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { withdrawalText } from '../withdrawal.ts';

export function addClaimRevoke(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'revoke <id>', 'revoke one claim; it is kept for the record')
    .option('--lift', 'lift the revocation of what an agent declared or the network measured')
    .action(
      cli.clientAction<{ readonly lift?: boolean }>(async ({ client, output, options }, id: string) => {
        const lift = options.lift === true;
        const withdrawal = await client.call(lift ? 'restoreClaim' : 'revokeClaim', { params: { id } });
        output.result(withdrawal, (done) => withdrawalText(`${id} is ${lift ? 'no more ' : ''}revoked`, done));
      }),
    );
}

import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { durationSeconds } from '../duration.ts';
import { oneOf } from '../group-id.ts';
import { invitationText } from '../invitation-text.ts';

export function addAccountInvite(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'invite <who>',
    'as network admin: invite an e-mail address, or a principal without account, into the network',
  )
    .option('--network-role <role>', 'admin or auditor')
    .option('--expires-in <duration>', 'for example 7d', '7d')
    .action(
      cli.clientAction<{ readonly networkRole?: string; readonly expiresIn: string }>(
        async ({ client, output, options }, who: string) => {
          const { networkRole } = options;
          const body = {
            expiresInS: durationSeconds(options.expiresIn),
            ...(networkRole === undefined
              ? {}
              : { networkRole: oneOf(networkRole, ['admin', 'auditor'], 'network role') }),
            ...(who.includes('@') ? { email: who } : { principal: who.startsWith('user:') ? who : `user:${who}` }),
          };
          output.result(await client.call('createInvitation', { body }), (made) => invitationText(made, client.url));
        },
      ),
    );
}

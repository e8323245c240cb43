import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { durationSeconds } from '../duration.ts';
import { ROLES, oneOf, orgId } from '../group-id.ts';
import { invitationText } from '../invitation-text.ts';

export function addOrgInvite(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'invite <org> <who>', 'invite an account (user:ID), or an e-mail address, into an organisation')
    .option('--role <role>', ROLES.join(', '), 'member')
    .option('--expires-in <duration>', 'for example 7d', '7d')
    .action(
      cli.clientAction<{ readonly role: string; readonly expiresIn: string }>(
        async ({ client, output, options }, org: string, who: string) => {
          const body = {
            group: `org:${orgId(org)}` as const,
            role: oneOf(options.role, ROLES, 'role'),
            expiresInS: durationSeconds(options.expiresIn),
            ...(who.includes('@') ? { email: who } : { principal: who.startsWith('user:') ? who : `user:${who}` }),
          };
          output.result(await client.call('createInvitation', { body }), (made) => invitationText(made, client.url));
        },
      ),
    );
}

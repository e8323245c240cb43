import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { type NetworkFlags, findNetwork } from '../find-network.ts';
import { findLogin, forgetLogin } from '../logins.ts';

export function addLogout(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'logout', 'sign out: the key of this machine is revoked and forgotten')
    .option('--forget', 'forget it also where the network cannot be asked to revoke it')
    .action(
      cli.action<NetworkFlags & { readonly forget?: boolean }>(async ({ host, output, options }) => {
        const { url, trustedKeySha256 } = findNetwork(options, host.env, 'control');
        const login = findLogin(host.env, url);
        if (login === undefined)
          throw new CliError({
            code: 'client.no_login',
            message: `Nobody is signed in to ${url} here.`,
            next: '`subcloud login` signs in.',
          });
        const { createClient } = await import('@subcloud/sdk/client');
        const client = createClient({ url, trustedKeySha256, credential: login.credential });
        let revoked = true;
        try {
          await client.call('revokeKey', { params: { id: login.credentialId } });
        } catch (error) {
          const gone = error instanceof Error && 'code' in error && error.code === 'client.unauthenticated';
          if (!gone && options.forget !== true) throw error;
          revoked = gone;
        } finally {
          await client.close();
        }
        forgetLogin(host.env, url);
        output.result({ principal: login.principal, url, revoked }, () =>
          revoked
            ? `${login.principal} is signed out.`
            : `The key of ${login.principal} is forgotten, and not revoked.`,
        );
      }),
    );
}
